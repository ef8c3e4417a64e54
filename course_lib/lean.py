"""Import this before nbformat, and what nobody here needs is not imported with it.

To check one kind of address, jsonschema builds dozens of grammars when it is imported, for seconds; nbformat's
schemas name no such address.
"""

import sys

sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
