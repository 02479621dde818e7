"""The address of a collection: `qdrant://host:6333,other:6333/collection?shards=3&replicas=2`."""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

PORT = 6333
API_KEY = "QDRANT_API_KEY"
"""The environment variable with the key; an address holds none, since addresses are shown."""

COLLECTION = re.compile(r"[A-Za-z0-9_.-]{1,200}")
QUANTISATIONS = ("none", "int8", "binary")
FLOATS = ("float32", "float16")
OVERSIZED = ("pool", "window", "refuse")


@dataclass(frozen=True, slots=True)
class CollectionOptions:
    """How a new collection is laid out; one that is there keeps its own layout.

    Attributes:
        shards: Parts that the cluster spreads over its nodes; None leaves it to the server.
        replicas: Copies of each shard.
        write_consistency: Copies that must have a write before it counts.
        dense: Type of the dense vectors on the server; token vectors are always float16.
        on_disk: Vectors stay on disk and are mapped; otherwise the server holds them in memory.
        hnsw_m: Edges a node of the dense graph; 0 builds none and compares with every vector.
        hnsw_ef: Candidates while that graph is built.
        quantisation: Small copies of dense vectors that are compared first.
        project: Numbers that token vectors keep, along the directions in which the first
            documents' have most; None keeps all.
        fields: Fields of the metadata that the server keeps an index of, for filters.
    """

    shards: int | None = None
    replicas: int = 1
    write_consistency: int = 1
    dense: str = "float32"
    on_disk: bool = False
    hnsw_m: int = 16  # the server's own
    hnsw_ef: int = 100  # the server's own
    quantisation: str = "none"
    project: int | None = None
    fields: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the choices.

        Raises:
            ValueError: There is no such choice, or a number is out of range.
        """
        _check_choice("dense", self.dense, FLOATS)
        _check_choice("quantisation", self.quantisation, QUANTISATIONS)
        least = {"shards": 1, "replicas": 1, "write_consistency": 1, "hnsw_m": 0, "hnsw_ef": 4}
        least["project"] = 1
        for name, low in least.items():
            value = getattr(self, name)
            if value is not None and value < low:
                raise ValueError(f"{name} of a collection is {value}; at least {low} is needed")
        if self.write_consistency > self.replicas:
            raise ValueError(
                f"write_consistency is {self.write_consistency}, more than the {self.replicas} "
                "replicas: every write would be refused"
            )


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """How this client uses a collection; another one may do otherwise.

    Attributes:
        grpc: Port for gRPC, which every host must answer on; None speaks REST.
        oversized: What happens to token vectors of one text that are more than the server takes.
        parallel: Requests that write at the same time.
    """

    grpc: int | None = None
    oversized: str = "pool"
    parallel: int = 4

    def __post_init__(self) -> None:
        """Check the choices.

        Raises:
            ValueError: There is no such choice, or a number is out of range.
        """
        _check_choice("oversized", self.oversized, OVERSIZED)
        if self.parallel < 1:
            raise ValueError(f"parallel is {self.parallel}; at least 1 request must be allowed")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a collection is, and how it is to be laid out and used.

    Attributes:
        collection: Its name.
        urls: One for each host, tried in turn.
        layout: Of a new collection.
        client: Of this client.
        api_key: The key, from the environment; never shown.
    """

    collection: str
    urls: tuple[str, ...]
    layout: CollectionOptions = field(default_factory=CollectionOptions)
    client: ClientOptions = field(default_factory=ClientOptions)
    api_key: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"{', '.join(self.urls)}, collection {self.collection!r}"


def parse_address(text: str) -> Address:
    """Read an address.

    Raises:
        ValueError: No collection, a key in the address, an unknown option or a wrong value.
    """
    scheme, _, rest = text.partition("://")
    hosts = re.split("[/?#]", rest, maxsplit=1)[0]
    # Several hosts with [::1] among them are no URL to newer releases of Python.
    parts = urlsplit(f"{scheme}://host{rest[len(hosts) :]}")
    if "@" in hosts:
        shown = f"{scheme}://{hosts.rpartition('@')[2]}{parts.path}"
        raise ValueError(
            f"the address {shown} came with a user or a key, which would be shown wherever the "
            f"address is: set the environment variable {API_KEY} instead"
        )
    prefix, _, collection = unquote(parts.path).strip("/").rpartition("/")
    address = Address(
        check_collection(collection, text),
        tuple(_url(text, host, prefix) for host in hosts.split(",")),
        api_key=os.environ.get(API_KEY) or None,
    )
    layout: dict[str, Any] = {}
    client: dict[str, Any] = {}
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name in LAYOUT:
            layout[name] = _read(name, value)
        elif name in CLIENT:
            client[name] = _read(name, value)
        else:
            known = ", ".join([*LAYOUT, *CLIENT])
            raise ValueError(f"no option {name!r} of a Qdrant address; there are: {known}")
    return replace(address, layout=CollectionOptions(**layout), client=ClientOptions(**client))


def check_collection(name: str, shown: str) -> str:
    """Refuse what cannot be the name of a collection.

    Raises:
        ValueError: Empty, too long, or with characters that a path or a file cannot have.
    """
    if not COLLECTION.fullmatch(name):
        raise ValueError(
            f"{shown!r} names no collection: an address is qdrant://host:{PORT}/collection, and a "
            "name has letters, digits, '.', '_' and '-' only"
        )
    return name


def _url(text: str, host: str, prefix: str) -> str:
    scheme = "https" if text.partition("://")[0].lower().endswith("+https") else "http"
    if not host or host.startswith(":"):
        raise ValueError(f"the address {text!r} lacks a host: qdrant://host:{PORT}/name")
    if not re.search(r":\d+$", host):
        host = f"{host}:{PORT}"
    return f"{scheme}://{host}" + (f"/{prefix}" if prefix else "")


def _flag(value: str) -> bool:
    if value not in ("true", "false"):
        raise ValueError("true or false belongs there")
    return value == "true"


def _names(value: str) -> tuple[str, ...]:
    return tuple(name for name in value.split(",") if name)


_READERS: Mapping[str, Callable[[str], Any]] = {"on_disk": _flag, "fields": _names}
_TEXTS = frozenset({"dense", "quantisation", "oversized"})

LAYOUT = tuple(f.name for f in fields(CollectionOptions))
CLIENT = tuple(f.name for f in fields(ClientOptions))


def _read(name: str, value: str) -> Any:
    reader = _READERS.get(name, str if name in _TEXTS else int)
    try:
        return reader(value)
    except ValueError as error:
        raise ValueError(f"the option {name}={value!r} of a Qdrant address: {error}") from None


def _check_choice(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"{name} is {value!r}; there are: {', '.join(known)}")
