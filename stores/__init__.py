"""What lies on disk and every way to read it; needs neither torch, Ray, PyAV nor OpenCV."""
