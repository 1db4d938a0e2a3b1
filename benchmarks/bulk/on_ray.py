"""Ray with several nodes on this machine: run by the server's Python, which has Ray.

    python -m benchmarks.bulk.on_ray NODES SECONDS... -- ARGUMENTS of `python -m bulk`

Starts a head without cores and NODES nodes of one core, and the command on them; after each of SECONDS a node
other than the head is killed and another takes its place. Ends with the command's exit code.
"""

import subprocess
import sys
import time

from ray.cluster_utils import Cluster


def main() -> None:
    split = sys.argv.index("--")
    nodes, pauses = int(sys.argv[1]), [float(each) for each in sys.argv[2:split]]
    small = {"object_store_memory": 80 << 20}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **small})
    living = [cluster.add_node(num_cpus=1, **small) for _ in range(nodes)]
    line = [sys.executable, "-m", "bulk", *sys.argv[split + 1 :], "--ray-address", cluster.address]
    driver = subprocess.Popen(line)
    for pause in pauses:
        time.sleep(pause)
        if driver.poll() is None:
            cluster.remove_node(living.pop(0), allow_graceful=False)
            print("killed a node", flush=True)
            living.append(cluster.add_node(num_cpus=1, **small))
    code = driver.wait()
    cluster.shutdown()
    sys.exit(code)


if __name__ == "__main__":
    main()
