"""Tables as people have them: a file of rows, or a data set of the hub, with notes on how it was understood.

table = read_table("reviews.csv.gz", "train", wanted=("text", "label"), options=ReadOptions())
table.column("text"), table.notes
"""

from training.tables.files import is_file_name, read_table
from training.tables.table import DataError, ReadOptions, Table

__all__ = ["DataError", "ReadOptions", "Table", "is_file_name", "read_table"]
