"""The kernel library through ctypes, with the functions listed in symbols.json."""

import argparse
import ctypes
import json
import os
from array import array
from ctypes import c_double, c_float, c_int32, c_uint32, c_uint64, c_void_p

FOLDER = os.path.dirname(os.path.abspath(__file__))
LIBRARY = os.path.join(FOLDER, "libremoe.so")
GUARD = 256  # bytes before and behind a buffer
GUARD_BYTE, POISON_BYTE = b"\xa5", b"\xff"  # four of the poison's are a NaN, and the integer -1

TYPES = {"i32": c_int32, "u32": c_uint32, "u64": c_uint64, "f32": c_float, "f64": c_double,
         "buffer": c_void_p}


def symbols():
    """The contract's functions: parameter types by name."""
    with open(os.path.join(FOLDER, "symbols.json"), encoding="utf-8") as file:
        return json.load(file)


def lacking(path=LIBRARY):
    """The contract's functions that a library does not have."""
    library = ctypes.CDLL(path)
    return [name for name in symbols() if not hasattr(library, name)]


def lacking_to_train():
    """The functions that training needs and the library does not have."""
    dispensable = ("remoe_probe_", "remoe_scratch_", "remoe_capture_", "remoe_graph_")
    return [name for name in lacking() if not name.startswith(dispensable)]


class DeviceFailure(Exception):
    """A call of the library failed; the message is the library's."""


class Library:
    """An open library and a context of its first device."""

    def __init__(self, path=LIBRARY):
        self.functions = ctypes.CDLL(path)
        for name, symbol in symbols().items():
            function = getattr(self.functions, name, None)
            if function is not None:  # a build may lack it
                function.argtypes = [TYPES[each] for each in symbol["parameters"]]
        self.build = json.loads(self._text(self.functions.remoe_build_info))
        context, message = c_uint64(), ctypes.create_string_buffer(512)
        create = self.functions.remoe_context_create
        if create(0, 0, ctypes.byref(context), message, len(message)) != 0:
            raise DeviceFailure(message.value.decode())
        self.context = context.value

    def has(self, *names):
        """Whether the build has these functions, named without `remoe_`."""
        return all(hasattr(self.functions, f"remoe_{name}") for name in names)

    def call(self, name, *arguments):
        """Calls remoe_`name` on the context."""
        status = getattr(self.functions, f"remoe_{name}")(self.context, *arguments)
        if status == 0:
            return
        message = self._text(self.functions.remoe_context_message, self.context)
        raise DeviceFailure(f"{name} gives status {status}: {message}")

    def info(self):
        """The library's description of the device."""
        return json.loads(self._text(self.functions.remoe_context_info, self.context))

    def close(self):
        """Closes the context, which frees all memory."""
        self.call("context_destroy")

    def events(self, count):
        """Creates events."""
        events = (c_uint64 * count)()
        for i in range(count):
            self.call("event_create", ctypes.addressof(events) + 8 * i)
        return list(events)

    def seconds(self, start, end):
        """Waits, and returns the seconds between two recorded events."""
        result = c_double()
        self.call("event_elapsed", start, end, ctypes.byref(result))
        return result.value

    @staticmethod
    def _text(function, *arguments):
        buffer = ctypes.create_string_buffer(4096)
        length = function(*arguments, buffer, len(buffer))
        return buffer.raw[:length].decode()


class Buffer:
    """Device memory from the library, between guards; an output starts as NaN."""

    def __init__(self, library, code, count, values=None):
        self.library, self.code, self.count = library, code, count
        self.bytes = count * array(code).itemsize
        content = POISON_BYTE * self.bytes if values is None else values.tobytes()
        block = c_uint64()
        library.call("memory_allocate", self.bytes + 2 * GUARD, ctypes.byref(block))
        self.block, self.address = block.value, block.value + GUARD
        self.write(GUARD_BYTE * GUARD + content + GUARD_BYTE * GUARD)

    def write(self, content):
        """Sets the whole block, guards included."""
        self.library.call("copy_from_host", self.block, content, len(content))

    def read(self):
        """Reads the content back; fails if a guard was overwritten."""
        whole = bytearray(self.bytes + 2 * GUARD)
        target = (ctypes.c_char * len(whole)).from_buffer(whole)
        self.library.call("copy_to_host", target, self.block, len(whole))
        guard = GUARD_BYTE * GUARD
        if whole[:GUARD] != guard or whole[GUARD + self.bytes :] != guard:
            raise AssertionError("wrote outside of its output")
        values = array(self.code)
        values.frombytes(bytes(whole[GUARD : GUARD + self.bytes]))
        return values

    def free(self):
        """Frees the memory."""
        self.library.call("memory_free", (c_uint64 * 1)(self.block), 1)


def input_buffer(library, values):
    """Device memory with the values of an array."""
    return Buffer(library, values.typecode, len(values), values)


def choices(description, groups):
    """What the command line asks of a script: whether shapes are small, and which groups."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--only", help=f"groups by commas, of {','.join(groups)}")
    options = parser.parse_args()
    return options.small, list(groups) if options.only is None else options.only.split(",")


def torch_or_reason():
    """PyTorch, or the reason it is not used."""
    try:
        import torch

        return torch, None
    except (ImportError, OSError) as error:  # the latter where a library of its own is missing
        return None, str(error)
