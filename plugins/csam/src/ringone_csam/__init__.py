"""RingOne code scanner: finds the instructions that matter to a virtual machine monitor."""
