"""Pre-trained networks that turn pictures into features; each is a function of pixels, and nothing is downloaded."""
