"""`zcurate trial`: plant known errors in a copy, scan it, measure what was found."""
