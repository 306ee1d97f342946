"""A gRPC client that is not ours, for test_server.c: python3-grpcio with generic stubs. Arguments: SOCKET all|settled"""
import sys
import threading
import time

try:
    import grpc
except ImportError:
    sys.exit(77)


def encode(text):
    data = text.encode()
    length = b""
    number = len(data)
    while number > 127:
        length += bytes([number & 127 | 128])
        number >>= 7
    return b"\x0a" + length + bytes([number]) + data if data else b""


def decode(data):
    if not data:
        return ""
    assert data[0] == 0x0A
    at, shift, length = 1, 0, 0
    while True:
        length |= (data[at] & 127) << shift
        shift += 7
        at += 1
        if not data[at - 1] & 128:
            break
    assert len(data) == at + length
    return data[at:].decode()


def connect(**options):
    return grpc.insecure_channel(f"unix:{sys.argv[1]}", options=[("grpc.max_receive_message_length", 64 << 20),
                                                                 ("grpc.use_local_subchannel_pool", 1), *options.items()])


def unary(channel, name):
    return channel.unary_unary(f"/test/{name}", request_serializer=encode, response_deserializer=decode)


def stream(channel, name):
    return channel.unary_stream(f"/test/{name}", request_serializer=encode, response_deserializer=decode)


def fails(code, call, *arguments, **options):
    try:
        call(*arguments, **options)
    except grpc.RpcError as error:
        assert error.code() == code, error
        return error
    raise AssertionError(f"{code} did not come")


def load(channel):
    return dict(item.split("=") for item in unary(channel, "Load")("", timeout=5).split())


def settled(channel):
    """Only this connection and this call are left."""
    for _ in range(200):
        now = load(channel)
        if int(now["connections"]) == 1 and int(now["calls"]) == 1 and int(now["streams"]) == 1:
            return now
        time.sleep(0.02)
    raise AssertionError(f"the server did not settle: {now}")


def test_unary(channel):
    echo = unary(channel, "Echo")
    assert echo("hello", timeout=5) == "hello"
    assert echo("", timeout=5) == ""
    assert echo("é\n%" * 1000, timeout=5) == "é\n%" * 1000
    assert len(unary(channel, "Size")("1000000", timeout=5)) == 1000000
    assert echo("x" * 1000000, timeout=5) == "x" * 1000000


def test_errors(channel):
    fails(grpc.StatusCode.UNIMPLEMENTED, unary(channel, "Nothing"), "x", timeout=5)
    fails(grpc.StatusCode.RESOURCE_EXHAUSTED, unary(channel, "Size"), "2000000", timeout=5)
    fails(grpc.StatusCode.RESOURCE_EXHAUSTED, unary(channel, "Echo"), "x" * (20 << 20), timeout=10)
    raw = channel.unary_unary("/test/Echo")
    error = fails(grpc.StatusCode.INVALID_ARGUMENT, raw, b"\x0a\x02\xff\xfe", timeout=5)
    assert "version" in error.details(), error
    assert unary(channel, "Echo")("still here", timeout=5) == "still here"


def test_deadline_and_cancel(channel):
    wait = unary(channel, "Wait")
    began = time.monotonic()
    fails(grpc.StatusCode.DEADLINE_EXCEEDED, wait, "x", timeout=0.2)
    assert 0.15 < time.monotonic() - began < 2
    before = int(load(channel)["cancelled"])
    futures = [wait.future("x", timeout=30) for _ in range(50)]
    time.sleep(0.2)
    for future in futures:
        future.cancel()
    assert int(settled(channel)["cancelled"]) >= before + 50


def test_many_at_once(channel):
    futures = [unary(channel, "Echo").future(str(n), timeout=30) for n in range(1000)]
    assert [future.result() for future in futures] == [str(n) for n in range(1000)]


def test_streams(channel):
    assert list(stream(channel, "Count")("0", timeout=5)) == []
    assert list(stream(channel, "Count")("50000", timeout=60)) == [str(n) for n in range(50000)]
    endless = stream(channel, "Count")("100000000", timeout=60)
    for _, text in zip(range(1000), endless):
        assert text.isdigit()
    endless.cancel()
    settled(channel)


def test_threads():
    def work(failures):
        try:
            with connect() as channel:
                for n in range(50):
                    assert unary(channel, "Echo")(str(n) * 1000, timeout=30) == str(n) * 1000
        except Exception as error:  # reported by the caller
            failures.append(error)

    failures = []
    threads = [threading.Thread(target=work, args=(failures,)) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures


with connect() as main:
    if sys.argv[2] == "all":
        test_unary(main)
        test_errors(main)
        test_deadline_and_cancel(main)
        test_many_at_once(main)
        test_streams(main)
        test_threads()
    last = settled(main)
    assert int(last["bytes"]) < 65536, last
