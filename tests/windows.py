"""What Windows lacks, taken away from the package's own modules; the standard library and other
packages keep it. `import windows; windows.pretend()` before anything of vdsm is imported."""
import builtins, fcntl, os, pathlib, select, signal, stat, types

MODULES = {
    "crypt",
    "fcntl",
    "grp",
    "nis",
    "posix",
    "pty",
    "pwd",
    "readline",
    "resource",
    "spwd",
    "syslog",
    "termios",
    "tty",
}
LACKS = dict(
    os="""chown chroot fchmod fchown fork forkpty getegid geteuid getgid getgroups getloadavg
          getpgid getpgrp getpriority getsid getuid initgroups killpg lchown mkfifo mknod nice
          openpty pipe2 posix_fadvise posix_fallocate posix_spawn posix_spawnp pread preadv pwrite
          pwritev sched_getaffinity sched_setaffinity sched_yield sendfile set_blocking setegid
          seteuid setgid setpgid setpgrp setpriority setsid setuid statvfs sync sysconf ttyname
          uname wait wait3 wait4 waitid WNOHANG""",
    signal="""SIGALRM SIGCHLD SIGCONT SIGHUP SIGKILL SIGPIPE SIGQUIT SIGSTOP SIGTSTP SIGUSR1
              SIGUSR2 alarm getitimer pause pthread_kill pthread_sigmask setitimer siginterrupt
              sigpending sigwait""",
    select="epoll kqueue poll",
)


def fsync(handle):
    "A handle that is only read cannot be flushed."
    handle = handle if isinstance(handle, int) else handle.fileno()
    if fcntl.fcntl(handle, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
        raise OSError(9, "Bad file descriptor: opened for reading only")
    os.fsync(handle)


def rename(source, target):
    "A name that is taken is not overwritten."
    if os.path.lexists(target):
        raise FileExistsError(183, "the file already exists", str(source), 183, str(target))
    os.rename(source, target)


def wait_for_sockets(readers, writers, errors, timeout=None):
    "Pipes and files cannot be waited for."
    number = lambda f: f if isinstance(f, int) else f.fileno()
    if not all(stat.S_ISSOCK(os.fstat(number(f)).st_mode) for f in (*readers, *writers, *errors)):
        raise OSError(10038, "An operation was attempted on something that is not a socket")
    return select.select(readers, writers, errors, timeout)


def pretend():
    "From here on."
    instead = {}
    for module, replaced in (
        (os, dict(fsync=fsync, rename=rename)),
        (signal, {}),
        (select, dict(select=wait_for_sockets)),
    ):
        name = module.__name__
        has = {k: v for k, v in vars(module).items() if k not in LACKS[name].split()}
        instead[name] = types.ModuleType(name)
        vars(instead[name]).update(has | replaced)
    real = builtins.__import__

    def import_as_there(name, globals=None, locals=None, fromlist=(), level=0):
        asks = (globals or {}).get("__name__", "").split(".")[0]
        if asks == "vdsm" and level == 0:
            if name.split(".")[0] in MODULES:
                raise ModuleNotFoundError(f"no {name!r} on Windows", name=name)
            if name in instead: return instead[name]
        return real(name, globals, locals, fromlist, level)

    builtins.__import__ = import_as_there
    above = pathlib.Path.rename
    pathlib.Path.rename = lambda self, target: (rename if os.path.lexists(target) else above)(
        self, target
    )
