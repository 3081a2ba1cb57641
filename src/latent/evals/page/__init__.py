"""The page of an evaluation: one HTML file that needs nothing but a browser, and sends nothing anywhere."""
