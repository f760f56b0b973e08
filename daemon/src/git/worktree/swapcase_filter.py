"""A filter that git talks to as one long-running process (gitattributes(5)), as git-lfs is."""
import sys

source, sink = sys.stdin.buffer, sys.stdout.buffer


def packet():
    size = int(source.read(4), 16)
    return source.read(size - 4) if size else None


def packets():
    return list(iter(packet, None))


def send(*all_packets):
    for data in all_packets:
        sink.write(b"%04x" % (len(data) + 4) + data)
    sink.write(b"0000")
    sink.flush()


packets()
send(b"git-filter-server\n", b"version=2\n")
packets()
send(b"capability=clean\n", b"capability=smudge\n")
while head := source.read(4):
    source.read(int(head, 16) - 4)
    packets()
    text = b"".join(packets())
    send(b"status=success\n")
    send(text.swapcase())
    send()
