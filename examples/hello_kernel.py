"""The shortest kernel: a function, a message, a call."""

import argparse

import pyringkernel as rk


@rk.message
class Greeting(rk.Message):
    number: rk.u32
    name: rk.Bytes[16]


@rk.kernel
def hello(ctx: rk.Context, msg: Greeting) -> Greeting:
    reply = Greeting(number=msg.number + 1, name=b"hello, ")
    for i in range(9):
        reply.name[i + 7] = msg.name[i]
    return reply


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", default="auto", help="cpu, cuda, or what there is (auto)")
    with rk.Runtime(backend=parser.parse_args().backend) as rt:
        kernel = rt.launch(hello)
        reply = kernel.call(Greeting(number=41, name=b"world"), timeout=5.0)
        text = reply.name.rstrip(b"\0").decode()
        print(f"{text}: {reply.number}")
        print(f"sent by {kernel!r} at {reply.header.timestamp}")


if __name__ == "__main__":
    main()
