"""After many pods everything is where it was before the first."""
import threading

import pytest

from harness.inventory import baseline, rss_kib, settle
from harness.pods import log_lines, pod, start

PODS, WIDE = 200, 10

# What an allocator may keep after 200 pods. A leak of one page per pod would be 800 KiB.
RSS_SLACK_KIB = 600


def one_pod(client, number, image, logs):
    folder = logs / f"{number}"
    with pod(client, f"churn-{number}", folder) as (pod_id, config):
        container_id = start(client, pod_id, config, image, ["sh", "-c", f"echo pod {number}; sleep 1000"])
        assert log_lines(folder / "main.log", 1)[0][2] == f"pod {number}"
        done = client.ExecSync(container_id=container_id, cmd=["sh", "-c", "exit 5"], timeout=20)
        assert done.exit_code == 5


def churn(daemon, first, count, image, logs):
    failures = []

    def work(offset):
        client = daemon.client()
        try:
            for number in range(first + offset, first + count, WIDE):
                one_pod(client, number, image, logs)
        except Exception as error:  # reported by the main thread
            failures.append(error)

    threads = [threading.Thread(target=work, args=(offset,)) for offset in range(WIDE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for client in daemon.clients:
        client.close()
    daemon.clients.clear()
    assert not failures, failures[0]


@pytest.mark.parametrize("kind", ["daemon", "release_daemon"])
def test_two_hundred_pods_leave_nothing(request, kind, image, logs):
    daemon = request.getfixturevalue(kind)
    # The first round fills caches that stay: the bridge, the nft table, the seccomp filter, the allocator's arenas.
    churn(daemon, 0, 2 * WIDE, image, logs)
    before, memory = baseline(daemon), rss_kib(daemon.process.pid)
    churn(daemon, 1000, PODS, image, logs)
    settle(daemon, before, timeout=30)
    if kind == "release_daemon":
        grown = rss_kib(daemon.process.pid) - memory
        assert grown <= RSS_SLACK_KIB, f"resident memory grew by {grown} KiB over {PODS} pods"
