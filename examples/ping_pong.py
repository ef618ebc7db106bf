"""Two kernels that play: each hit goes from ring to ring, without the host, until the rally is over."""

import argparse

import pyringkernel as rk


@rk.message
class Ball(rk.Message):
    hits: rk.u32
    rally: rk.u32


@rk.message
class Start(rk.Message):
    rally: rk.u32


@rk.kernel(publishes_to=["ping"])
def pong(ctx: rk.Context, msg: Ball) -> None:
    ctx.send("ping", Ball(hits=msg.hits + 1, rally=msg.rally))


@rk.kernel(publishes_to=["pong"])
def ping(ctx: rk.Context, msg: Start | Ball) -> None:
    if isinstance(msg, Start):
        ctx.send("pong", Ball(hits=1, rally=msg.rally))
    elif msg.hits < msg.rally:
        ctx.send("pong", Ball(hits=msg.hits + 1, rally=msg.rally))
    else:
        ctx.send("host", msg)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rally", type=int, default=10_000)
    parser.add_argument("--backend", default="auto", help="cpu, cuda, or what there is (auto)")
    given = parser.parse_args()
    rally = given.rally

    with rk.Runtime(backend=given.backend) as rt:
        # Each sends to the other: both must be there before one of them starts.
        players = rt.launch(ping, autostart=False), rt.launch(pong, autostart=False)
        for player in players:
            player.activate()
        began = rt.tick()
        players[0].send(Start(rally=rally))
        ball = players[0].receive(timeout=60.0)
        ended = ball.header.timestamp
        took = (ended.physical_ns - began.physical_ns) / 1e9
        print(f"{ball.hits} hits in {took:.3f} s, {took / max(ball.hits, 1) * 1e6:.1f} us a hit")
        for player in players:
            print(f"{player!r} {player.stats()}")


if __name__ == "__main__":
    main()
