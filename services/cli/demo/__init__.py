"""`omniroute up --demo`: a workspace with customers that write, and agents that answer."""
