"""`zcurate trial`: plant known errors in a copy of the labels, scan it, and measure how many are found."""
