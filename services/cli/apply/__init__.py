"""`omniroute apply` and `export`: a whole workspace as one reviewed file."""
