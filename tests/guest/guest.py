#!/usr/bin/python3
"""A whole Debian kernel as a guest: cgroup v2 with all controllers, AppArmor, systemd, disks that lose power.

guest.py [--cgroup v1|v2] [--systemd] [--disk FILE] [--seconds N] COMMAND...
runs a command as root in it and ends with its exit code; what it prints comes out here. The guest's root is this machine's,
read only, under an overlay (and $SAMPAN_... is passed on): nothing of the guest stays but the disk, which holds the overlay's upper layer and
/var/lib/sampan, and is a new one unless --disk names it. One network device, 10.88.0.1/24, leads nowhere.

--systemd starts the machine's own systemd; the command is then a unit that it starts at the end of booting.

The kernel is what linux-image-amd64 depends on, fetched once by apt-get download into $SAMPAN_GUEST_CACHE
(/var/cache/sampan-guest). qemu emulates the processor: correct, not fast; no figures from here."""
import argparse
import contextlib
import fcntl
import glob
import lzma
import os
import shlex
import shutil
import signal
import struct
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
CACHE = os.environ.get('SAMPAN_GUEST_CACHE', '/var/cache/sampan-guest')
TOOLS = ('qemu-system-x86_64', 'mke2fs', 'cpio', 'modprobe', 'busybox', 'apt-get', 'dpkg')
# What the guest needs before it sees its root; the rest it loads from there.
MODULES = ('virtio_pci', 'virtio_blk', 'virtio_rng', 'virtio_console', '9pnet_virtio', '9p', 'overlay', 'ext4', 'dummy')
DISK_BYTES = 4 << 30
# What a generator starts, not an enabled unit (those are left out by `init`), or what waits for hardware.
MASKED = ('postgresql.service', 'getty@tty1.service', 'console-getty.service', 'serial-getty@ttyS0.service',
          'systemd-firstboot.service', 'modprobe@drm.service', 'systemd-udev-settle.service', 'ldconfig.service',
          'systemd-binfmt.service', 'kmod-static-nodes.service')


class Missing(Exception):
    """Why there is no guest on this machine."""


def run(*argv, **kw):
    return subprocess.run(argv, check=True, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, **kw).stdout


def need_tools(*more):
    for tool in TOOLS + more:
        if not shutil.which(tool, path=os.environ.get('PATH', '') + ':/usr/sbin:/sbin'):
            raise Missing(f'{tool} is not installed')


# ---- the kernel


def newest_package():
    out = run('apt-cache', 'depends', 'linux-image-amd64', stderr=subprocess.DEVNULL)
    names = [line.split()[1] for line in out.splitlines() if line.strip().startswith('Depends: linux-image-')]
    if not names:
        raise Missing('apt knows no linux-image-amd64')
    return names[0]


def unpack_kernel(name, to):
    """The package's files, the index of its modules, and the ELF image out of the bzImage, which boots seconds faster."""
    with tempfile.TemporaryDirectory(dir=CACHE) as tmp:
        try:
            run('apt-get', 'download', '-q', name, cwd=tmp, stderr=subprocess.DEVNULL)
        except subprocess.CalledProcessError:
            raise Missing(f'apt-get can not download {name}') from None
        run('dpkg', '-x', glob.glob(tmp + '/*.deb')[0], tmp + '/tree')
        with open(glob.glob(tmp + '/tree/boot/vmlinuz-*')[0], 'rb') as f:
            image = f.read()
        # Documentation/x86/boot.rst: setup_sects, payload_offset, payload_length
        offset, length = struct.unpack_from('<II', image, 0x248)
        start = (image[0x1f1] + 1) * 512 + offset
        elf = lzma.LZMADecompressor(lzma.FORMAT_XZ).decompress(image[start:start + length])
        with open(tmp + '/tree/vmlinux', 'wb') as f:
            f.write(elf)
        run('depmod', '-b', tmp + '/tree', os.listdir(tmp + '/tree/lib/modules')[0])
        os.rename(tmp + '/tree', to)


def kernel():
    """The directory of the unpacked kernel: vmlinux, lib/modules/VERSION. Fetched when it is not there yet."""
    need_tools()
    os.makedirs(CACHE, exist_ok=True)
    with open(CACHE + '/lock', 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ready = sorted(glob.glob(CACHE + '/linux-image-*'))
        if ready:
            return ready[-1]
        name = newest_package()
        unpack_kernel(name, f'{CACHE}/{name}')
        return f'{CACHE}/{name}'


# ---- what it boots


def module_files(tree):
    version = os.listdir(tree + '/lib/modules')[0]
    files = []
    for name in MODULES:
        for line in run('modprobe', '-d', tree, '-S', version, '--show-depends', name).splitlines():
            if line.startswith('insmod ') and line.split()[1] not in files:
                files.append(line.split()[1])
    return files


def make_initramfs(tree, to):
    """busybox, the modules in the order in which they are loaded, and `init`."""
    with tempfile.TemporaryDirectory() as tmp:
        for name in ('bin', 'dev', 'proc', 'sys', 'disk', 'host', 'root', 'job'):
            os.mkdir(f'{tmp}/{name}')
        shutil.copy(shutil.which('busybox'), tmp + '/bin/busybox')
        shutil.copy(HERE + '/init', tmp + '/init')
        os.chmod(tmp + '/init', 0o755)
        for n, path in enumerate(module_files(tree)):
            shutil.copy(path, f'{tmp}/{n:02d}.ko')
        with open(to, 'wb') as out:
            subprocess.run('find . | cpio --quiet -o -H newc', shell=True, cwd=tmp, stdout=out, check=True)


def make_disk(path, size=DISK_BYTES):
    with open(path, 'wb') as f:
        f.truncate(size)
    run('mke2fs', '-q', '-F', '-t', 'ext4', '-E', 'lazy_itable_init=1,lazy_journal_init=1', path, stderr=subprocess.STDOUT)
    return path


class Guest:
    """One machine, booted as often as one likes. Use as a context: what it made is gone afterwards.

    disk    a file, made when it is not there; None: one of its own
    drive   qemu's words for the disk instead, for a test that puts a server of disks between"""

    def __init__(self, disk=None, drive=None, memory='2G'):
        self.tree = kernel()
        self.dir = tempfile.mkdtemp(prefix='sampan-guest-')
        self.memory, self.proc = memory, None
        os.mkdir(self.dir + '/job')
        disk = disk or self.dir + '/disk'
        if not drive and not os.path.exists(disk):
            make_disk(disk)
        self.drive = drive or f'if=virtio,format=raw,cache=unsafe,file={disk}'
        make_initramfs(self.tree, self.dir + '/initramfs')

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.kill()
        shutil.rmtree(self.dir, ignore_errors=True)

    def qemu(self, append):
        return ['qemu-system-x86_64', '-accel', 'tcg,thread=multi', '-cpu', 'max', '-smp', '2', '-m', self.memory, '-nodefaults',
                '-no-user-config', '-display', 'none', '-no-reboot', '-nic', 'none', '-kernel', self.tree + '/vmlinux',
                '-initrd', self.dir + '/initramfs', '-append', append, '-serial', f'file:{self.dir}/console',
                '-device', 'virtio-serial-pci', '-chardev', 'file,id=out,path=/proc/self/fd/1,append=on',
                '-device', 'virtserialport,chardev=out,name=out', '-device', 'virtio-rng-pci', '-drive', self.drive,
                '-virtfs', 'local,path=/,mount_tag=host,security_model=passthrough,readonly=on,multidevs=remap',
                '-virtfs', f'local,path={self.dir}/job,mount_tag=job,security_model=passthrough,multidevs=remap']

    def start(self, command, cgroup='v2', systemd=False, stdout=None):
        """Boot, and run a command (a list) in it: a Popen. Wait for it with finish()."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.dir + '/job/code')
        with open(self.dir + '/job/command', 'w') as f:
            f.writelines(f'export {k}={shlex.quote(v)}\n' for k, v in os.environ.items() if k.startswith('SAMPAN'))
            f.write(f'cd {shlex.quote(os.getcwd())} && exec {shlex.join(command)}\n')
        append = ['console=ttyS0', 'panic=-1', 'quiet', 'loglevel=4', f'guest_cgroup={cgroup}',
                  f'guest_modules={self.tree}/lib/modules', f'guest_here={HERE}']
        if systemd:
            append += ['guest_init=systemd', 'systemd.show_status=0', 'systemd.journald.max_level_console=err']
            append += [f'systemd.mask={unit}' for unit in MASKED]
        self.proc = subprocess.Popen(self.qemu(' '.join(append)), stdin=subprocess.DEVNULL, stdout=stdout)
        return self.proc

    def finish(self, seconds=300):
        """The command's exit code once the guest is off; None: it went down without one. Raises TimeoutExpired."""
        self.proc.wait(seconds)
        with contextlib.suppress(FileNotFoundError, ValueError), open(self.dir + '/job/code') as f:
            return int(f.read())
        return None

    def run(self, command, seconds=300, **kw):
        """(code, output) of a command; the console is added when the guest did not get to its end."""
        proc = self.start(command, stdout=subprocess.PIPE, **kw)
        try:
            out = proc.communicate(timeout=seconds)[0].decode(errors='replace')
        except subprocess.TimeoutExpired as e:
            self.kill()
            out = (e.output or b'').decode(errors='replace') + f'\n(not done after {seconds} s)'
        code = self.finish()
        return code, out if code is not None else out + '\n--- console\n' + self.console()

    def console(self):
        with contextlib.suppress(OSError), open(self.dir + '/console', errors='replace') as f:
            return f.read()[-4000:]
        return ''

    def kill(self):
        """No shutdown: the power is gone."""
        if self.proc and self.proc.poll() is None:
            self.proc.send_signal(signal.SIGKILL)
            self.proc.wait()


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--cgroup', choices=('v1', 'v2'), default='v2')
    p.add_argument('--systemd', action='store_true')
    p.add_argument('--disk')
    p.add_argument('--seconds', type=int, default=300)
    p.add_argument('command', nargs=argparse.REMAINDER)
    a = p.parse_args()
    try:
        with Guest(a.disk) as g:
            g.start(a.command, cgroup=a.cgroup, systemd=a.systemd)
            try:
                code = g.finish(a.seconds)
            except subprocess.TimeoutExpired:
                code = None
            if code is None:
                sys.exit(f'guest: went down without an answer, or not in {a.seconds} s\n{g.console()}')
            sys.exit(code)
    except Missing as e:
        sys.exit(f'skipped: {e}')


if __name__ == '__main__':
    main()
