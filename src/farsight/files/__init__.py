"""Files are read and written in this room alone: bounded, in one line if something is wrong, whole or not at all."""

from farsight.files.documents import decode_json, parse_json, parse_literal, read_json, read_toml, read_yaml
from farsight.files.naming import real_path, short_names
from farsight.files.opening import MOST_BYTES, MOST_WRITTEN, opened, read_bytes, read_text, reading, told
from farsight.files.streams import MOST_VALUE, is_torn, json_elements, json_lines, json_lists
from farsight.files.writing import make_folder, write, write_lines

__all__ = [
    "MOST_BYTES",
    "MOST_VALUE",
    "MOST_WRITTEN",
    "decode_json",
    "is_torn",
    "json_elements",
    "json_lines",
    "json_lists",
    "make_folder",
    "opened",
    "parse_json",
    "parse_literal",
    "read_bytes",
    "read_json",
    "read_text",
    "read_toml",
    "read_yaml",
    "reading",
    "real_path",
    "short_names",
    "told",
    "write",
    "write_lines",
]
