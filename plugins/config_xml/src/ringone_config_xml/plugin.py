"""What config_xml offers to RingOne. Imports nothing heavy: parts are imported when they are created."""
