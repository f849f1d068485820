"""What a power cut may leave behind, forged into the files of a broker that was only killed.

kill −9 leaves the page cache as it was, so everything written is still there. A power cut would lose whatever was not
synced, in any order. What was synced is known from the outside, by the broker's own promise (broker/log/FORMAT.md):

- The write-ahead log is synced up to the last group commit whose appends were acknowledged. What follows the last record
  that holds anything acknowledged or seen by a consumer may be torn: cut off, zeroed or garbled.
- A segment's bytes leave the write-ahead log only when they are synced. So those that still stand there may be lost from
  the segment: the end of the file from there on, or the whole file when the log has it from its first byte.

Reads the formats by itself and shares nothing with the broker.
"""
import base64
import os
import struct

WAL_MAGIC = 0x464C574C
FILE_HEADER, RECORD_HEADER = 16, 64
DATA = 0


def topic_text(raw):
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


class WalRecord:
    def __init__(self, end, lsn, kind, topic, partition, base, generation, position, batches, size):
        self.end, self.lsn, self.kind, self.topic, self.partition = end, lsn, kind, topic, partition
        self.base, self.generation, self.position, self.batches, self.size = base, generation, position, batches, size

    @property
    def segment(self):
        return os.path.join(f"{self.topic}-{self.partition}", f"{self.base:020}.{self.generation}.log")


def batches_of(payload):
    """(first offset, last offset) of each batch."""
    at, out = 0, []
    while at + 61 <= len(payload):
        base, length = struct.unpack_from(">qi", payload, at)
        (delta,) = struct.unpack_from(">i", payload, at + 23)
        out.append((base, base + delta))
        at += 12 + length
    return out


def read_wal_file(path):
    """Its records up to the first that is cut off or of an earlier life of the file."""
    with open(path, "rb") as f:
        data = f.read()
    if len(data) < FILE_HEADER:
        return []
    magic, _, _, number = struct.unpack_from(">IHHq", data)
    # A file that stands ready to be used again still has its earlier life.
    if magic != WAL_MAGIC or number != int(os.path.basename(path).removeprefix("wal-")):
        return []
    records, at, last = [], FILE_HEADER, None
    while at + RECORD_HEADER <= len(data):
        _, size, file, lsn, kind = struct.unpack_from(">IIqqB", data, at)
        topic = data[at + 28 : at + 44]
        partition, base, generation, position = struct.unpack_from(">iqiI", data, at + 44)
        end = at + RECORD_HEADER + size
        if file != number or kind > 1 or end > len(data) or (last is not None and lsn != last + 1):
            break
        batches = batches_of(data[at + RECORD_HEADER : end]) if kind == DATA else []
        records.append(WalRecord(end, lsn, kind, topic_text(topic), partition, base, generation, position, batches, size))
        at, last = end, lsn
    return records


def wal_files(folder):
    names = sorted(name for name in os.listdir(folder) if name.startswith("wal-"))
    return [os.path.join(folder, name) for name in names]


def damage(path, begin, end, rng):
    """Loses bytes of the file that begin somewhere in [begin, end), as a disk would. Returns how."""
    size = os.path.getsize(path)
    end = min(end, size)
    if begin >= end:
        return None
    at = rng.randrange(begin, end)
    how = rng.choice(["cut", "cut", "zero", "garble", "hole"])
    with open(path, "r+b") as f:
        if how == "cut":
            f.truncate(at)
        elif how == "zero":
            f.seek(at)
            f.write(bytes(size - at))
        elif how == "garble":
            f.seek(at)
            f.write(rng.randbytes(min(size - at, rng.randint(1, 65536))))
        else:  # a block in the middle is lost, later ones are there
            f.seek(at)
            f.write(bytes(min(size - at, 4096)))
    return f"{how} {size - at}"


def tear(path, records, rng):
    """Puts behind the newest record the beginning of another one, as when the power goes in the middle of a group commit: its header
    is right, and of its payload some is missing."""
    last = records[-1]
    with open(path, "r+b") as f:
        f.seek(last.end - last.size - RECORD_HEADER)
        torn = bytearray(f.read(RECORD_HEADER + last.size))
        struct.pack_into(">q", torn, 16, last.lsn + 1)
        there = rng.randint(1, len(torn))
        if rng.random() < 0.5:
            torn[there:] = bytes(len(torn) - there)
        else:
            del torn[there:]
        f.seek(last.end)
        f.write(torn)
    return f"torn record of {there}"


def forge(log_dir, is_needed, rng):
    """Damages what a power cut at this moment may have lost. `is_needed(topic id, partition, first, last)`: whether a batch with
    these offsets was acknowledged or seen, or may have been. Returns a list of what was done."""
    done = []
    files = wal_files(os.path.join(log_dir, "wal"))
    records = {path: read_wal_file(path) for path in files}
    if files and rng.random() < 0.7:
        newest = next((path for path in reversed(files) if records[path]), files[-1])  # one may stand ready behind it
        keep = FILE_HEADER if records[newest] else os.path.getsize(newest)
        for record in records[newest]:
            if record.kind != DATA or any(is_needed(record.topic, record.partition, first, last) for first, last in record.batches):
                keep = record.end
        # What lies behind the newest record is the past life of the file, or the zeros that it was filled with: nothing to lose.
        end = records[newest][-1].end if records[newest] else keep
        if keep < end:
            how = damage(newest, keep, end, rng)
            if how:
                done.append(f"{os.path.basename(newest)}: {how}")
        elif records[newest] and rng.random() < 0.7:
            done.append(f"{os.path.basename(newest)}: {tear(newest, records[newest], rng)}")
    # Where the write-ahead log's bytes of each segment begin, and whether they reach on without a gap. A truncation, or a record
    # written twice, makes it too hard to say: that segment is left alone.
    covered, unclear = {}, set()
    for path in files:
        for record in records[path]:
            begin, end = covered.get(record.segment, (record.position, record.position))
            if record.kind != DATA or record.position != end:
                unclear.add(record.segment)
            covered[record.segment] = (begin, record.position + record.size)
    for segment, (begin, end) in sorted(covered.items()):
        path = os.path.join(log_dir, "segments", segment)
        if segment in unclear or not os.path.exists(path) or os.path.getsize(path) > end or rng.random() < 0.4:
            continue
        if begin == 0 and rng.random() < 0.2:
            os.remove(path)
            done.append(f"{segment}: gone")
        else:
            how = damage(path, begin, end, rng)
            if how:
                done.append(f"{segment}: {how}")
    return done
