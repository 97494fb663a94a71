"""A bucket's whole life with nats-py, told line by line; nothing that depends on the moment is printed.

nats-py itself is unsure in one place: when a server has sent all that a watch begins with before nats-py asks how
much is pending, it takes that for an empty bucket and gives up early, whatever the server. So the markers of watches
are not printed, and what is listed is asked for until it is there.

usage: session.py URL [expires]
"""

import asyncio
import sys

import nats
from nats.js.api import KeyValueConfig, StorageType
from nats.js.errors import NoKeysError

HANGS = 60.0
ATTEMPTS = 100


def shown(entry):
    """An entry without its time."""
    if entry is None:
        return None
    return (entry.key, entry.value, entry.revision, entry.delta, entry.operation)


async def note(what, awaitable):
    try:
        print(what, repr(await awaitable))
    except Exception as error:
        print(what, "fails:", type(error).__name__, repr(str(error)))


async def note_entry(what, awaitable):
    async def entry():
        return shown(await awaitable)

    await note(what, entry())


async def listed(call):
    """What is listed, which is something."""
    for _ in range(ATTEMPTS):
        try:
            return await call()
        except NoKeysError:
            pass
    return None


async def note_history(kv, key):
    print("history", [shown(entry) for entry in await listed(lambda: kv.history(key))])


async def note_keys(kv):
    print("keys", await listed(kv.keys))


async def purge_deletes(kv, left, **options):
    """Purges until the bucket has no more than so many messages."""
    for _ in range(ATTEMPTS):
        await kv.purge_deletes(**options)
        values = (await kv.status()).values
        if values <= left:
            break
    print("purge deletes, left", values)


async def write(kv):
    await note("put", kv.put("a", b"1"))
    await note("put", kv.put("a", b"2"))
    await note("put empty", kv.put("b.c", b""))
    await note("create", kv.create("lock", b"me"))
    await note("create twice", kv.create("lock", b"you"))
    await note("update", kv.update("a", b"3", last=2))
    await note("update, wrong", kv.update("a", b"4", last=2))
    await note("update, absent", kv.update("z", b"4", last=9))
    await note("put, bad key", kv.put("a b", b"1"))
    await note("put large", kv.put("large", b"x" * 300_000))
    await note("put huge", kv.put("huge", b"x" * (1024 * 1024 + 1)))


async def read(kv):
    await note_entry("get", kv.get("a"))
    await note_entry("get empty", kv.get("b.c"))
    await note_entry("get absent", kv.get("z"))
    print("get large", len((await kv.get("large")).value))
    for revision in (1, 2, 3, 99):
        await note_entry(f"get at {revision}", kv.get("a", revision=revision))
    await note_history(kv, "a")
    await note("history of nothing", kv.history("z"))
    await note_keys(kv)


async def take(watch, count):
    """Takes so many entries of those that a watch begins with."""
    while count > 0:
        entry = await watch.updates()
        if entry is not None:
            print("watched", shown(entry))
            count -= 1


async def hear(watch, count):
    """Takes so many entries that come later. How many more are under way then depends on the moment."""
    while count > 0:
        entry = await watch.updates()
        if entry is not None:
            entry.delta = 0
            print("heard", shown(entry))
            count -= 1


async def watch(kv):
    every = await kv.watchall(meta_only=True)
    await take(every, 4)
    some = await kv.watch("b.*", ignore_deletes=True)
    await take(some, 1)
    history = await kv.watch("a", include_history=True)
    await take(history, 3)
    empty = await kv.watch("nothing")
    print("watched", await empty.updates())
    await note("put", kv.put("a", b"5"))
    await note("delete", kv.delete("b.c"))
    await note("purge", kv.purge("lock"))
    await note("put", kv.put("b.d", b"6"))
    await hear(every, 4)
    await hear(some, 1)
    await hear(history, 1)
    for one in (every, some, history, empty):
        await one.stop()


async def remove(kv):
    await note_entry("get deleted", kv.get("b.c"))
    await note("delete, wrong", kv.delete("a", last=1))
    await note("create over a tombstone", kv.create("b.c", b"again"))
    await note("create over a purge", kv.create("lock", b"you"))
    await note("delete", kv.delete("lock"))
    await note_history(kv, "lock")
    await purge_deletes(kv, 10)
    await note_history(kv, "lock")
    await purge_deletes(kv, 9, olderthan=0)
    await note("history of nothing", kv.history("lock"))
    await note_keys(kv)


async def expire(kv):
    watch = await kv.watch("short")
    await note("create for a second", kv.create("short", b"lived", msg_ttl=1.0))
    await note_entry("get", kv.get("short"))
    await hear(watch, 2)
    await watch.stop()
    await note_entry("get expired", kv.get("short"))
    await note("purge for a minute", kv.purge("a", msg_ttl=60.0))


async def status(js):
    status = await (await js.key_value("session")).status()
    print("status", status.bucket, status.values, status.history, status.ttl, status.marker_ttl)
    state = status.stream_info.state
    print("state", state.messages, state.bytes, state.first_seq, state.last_seq)
    config = status.stream_info.config
    print("metadata", sorted((config.metadata or {}).items()))
    config.metadata = None
    print("config", config)
    print("buckets", [info.config.name for info in await js.streams_info()])


async def session(url, expires):
    nc = await nats.connect(url, allow_reconnect=False)
    print("server", nc.connected_server_version)
    js = nc.jetstream()
    await note("absent bucket", js.key_value("session"))
    marker = {"limit_marker_ttl": 1.0} if expires else {}
    config = KeyValueConfig(
        bucket="session", description="of nats-py", history=5, storage=StorageType.MEMORY, **marker
    )
    kv = await js.create_key_value(config)
    again = await js.create_key_value(config)
    print("created again", (await again.status()).bucket)

    await write(kv)
    await read(kv)
    await watch(kv)
    await remove(kv)
    if expires:
        await expire(kv)
    await status(js)

    await note("delete bucket", js.delete_key_value("session"))
    await note("delete bucket twice", js.delete_key_value("session"))
    await note("put into nothing", kv.put("a", b"1"))
    await nc.close()


asyncio.run(asyncio.wait_for(session(sys.argv[1], "expires" in sys.argv[2:]), HANGS))
