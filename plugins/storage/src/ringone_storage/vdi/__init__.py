"""VirtualBox disk images (VDI 1.1): dynamic, fixed and differencing."""
