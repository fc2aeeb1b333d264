"""Tests of `zcurate.data.delimited`."""
