"""Runs one statement in the extended protocol with text parameters; `\\N` is a NULL."""

import ctypes
import ctypes.util
import sys

library = ctypes.CDLL(ctypes.util.find_library("pq") or "libpq.so.5")
for name in ("PQconnectdb", "PQexecParams"):
    getattr(library, name).restype = ctypes.c_void_p
library.PQerrorMessage.restype = ctypes.c_char_p

connection = ctypes.c_void_p(library.PQconnectdb(b""))  # everything is in the environment
statement, *values = (argument.encode() for argument in sys.argv[1:])
bound = (ctypes.c_char_p * len(values))(*(None if v == rb"\N" else v for v in values))
library.PQexecParams(connection, statement, len(values), None, bound, None, None, 0)
sys.stdout.write(library.PQerrorMessage(connection).decode())
library.PQfinish(connection)
