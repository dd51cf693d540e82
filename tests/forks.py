"""Processes of tests that begin with other people's packages imported, which takes each of them
seconds otherwise. They are forked, on Linux only, from a process that has imported them; our own
package is not among them. The kernels of papermill are such processes too."""
import multiprocessing, os, sys, time
from pathlib import Path
from jupyter_client.provisioning import local_provisioner

PACKAGES = ["torch", "pyro", "lightning_fabric", "sklearn.linear_model", "pandas", "ipywidgets",
            "plotly.graph_objects", "nbdev.test", "ipykernel.kernelapp"]
FORKS = sys.platform == "linux"
FRESH = multiprocessing.get_context("spawn")
PROCESSES = multiprocessing.get_context("forkserver") if FORKS else FRESH
if FORKS: PROCESSES.set_forkserver_preload(PACKAGES)
TESTS = str(Path(__file__).parent)


def run_kernel(arguments: list[str], env: dict[str, str], cwd: str | None):
    "What `python -m ipykernel_launcher` does, in a process group of its own."
    os.setsid()
    os.environ.clear()
    os.environ.update(env)
    if cwd: os.chdir(cwd)
    given = [p for p in env.get("PYTHONPATH", "").split(os.pathsep) if p]
    sys.path[:] = given + [p for p in sys.path if p not in (TESTS, *given)]  # pytest added TESTS
    from ipykernel.kernelapp import launch_new_instance
    launch_new_instance(arguments)


class ForkedKernel:
    "A forked kernel, with what Jupyter uses of `subprocess.Popen`."
    stdin = stdout = stderr = None

    def __init__(self, *arguments):  # of `run_kernel`
        self.process = PROCESSES.Process(target=run_kernel, args=arguments)
        self.process.start()
        self.pid = self.process.pid
        while self.poll() is None and os.getpgid(self.pid) != self.pid: time.sleep(.001)

    def poll(self) -> int | None: return self.process.exitcode
    def send_signal(self, number: int): os.kill(self.pid, number)
    def terminate(self): self.process.terminate()
    def kill(self): self.process.kill()

    def wait(self, timeout: float | None = None) -> int | None:
        self.process.join(timeout)
        return self.process.exitcode


def fork_kernels():
    "Let this process start kernels of Python by a fork."
    launch = local_provisioner.launch_kernel

    def fork(cmd, *rest, env=None, cwd=None, **kwargs):
        if "ipykernel_launcher" not in cmd: return launch(cmd, *rest, env=env, cwd=cwd, **kwargs)
        after = cmd.index("ipykernel_launcher") + 1
        return ForkedKernel(cmd[after:], dict(os.environ if env is None else env), cwd)

    if FORKS: local_provisioner.launch_kernel = fork
