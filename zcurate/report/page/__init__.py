"""One offline HTML page of a report: charts, tables, pictures, and keys to decide with."""
