"""The graphics pipeline ([MS-RDPEGFX]) in its dynamic virtual channel: surfaces, frames that the client acknowledges, and what they are encoded with."""
