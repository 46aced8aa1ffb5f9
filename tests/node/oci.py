"""Packs OCI archives for tests: `python3 oci.py OUT.tar NAME` gives busybox-static; import it for attack archives."""
import gzip, hashlib, io, json, sys, tarfile


def tar_bytes(entries):
    """entries: (name, type, payload, mode); type f, d, l (symlink), h (hard link), c (device)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as t:
        for name, kind, payload, mode in entries:
            i = tarfile.TarInfo(name)
            i.mode, i.mtime = mode, 1
            data = None
            if kind == "f":
                data = payload if isinstance(payload, bytes) else payload.encode()
                i.size = len(data)
            elif kind == "d":
                i.type = tarfile.DIRTYPE
            elif kind == "l":
                i.type, i.linkname = tarfile.SYMTYPE, payload
            elif kind == "h":
                i.type, i.linkname = tarfile.LNKTYPE, payload
            elif kind == "c":
                i.type, i.devmajor, i.devminor = tarfile.CHRTYPE, 1, 3
            t.addfile(i, io.BytesIO(data) if data is not None else None)
    return out.getvalue()


def digest(b):
    return "sha256:" + hashlib.sha256(b).hexdigest()


def archive(layers, name, config=None, lie_digest=False, lie_diff=False, arch="amd64"):
    """layers: uncompressed tars. Returns the bytes of an OCI archive."""
    blobs, descriptors, diffs = {}, [], []
    for i, layer in enumerate(layers):
        z = gzip.compress(layer, 1, mtime=0)
        d = digest(z)
        if lie_digest:
            z = gzip.compress(layer + b"\0" * 1024, 1, mtime=0)
        blobs[d] = z
        descriptors.append({"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": d, "size": len(z)})
        diffs.append(digest(layer + b"x") if lie_diff else digest(layer))
    c = json.dumps({"architecture": arch, "os": "linux", "config": config or {}, "rootfs": {"type": "layers", "diff_ids": diffs}}).encode()
    blobs[digest(c)] = c
    m = json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                    "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest(c), "size": len(c)},
                    "layers": descriptors}).encode()
    blobs[digest(m)] = m
    index = json.dumps({"schemaVersion": 2, "manifests": [{"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest(m), "size": len(m),
                        "annotations": {"org.opencontainers.image.ref.name": name}}]}).encode()
    files = [("oci-layout", "f", '{"imageLayoutVersion":"1.0.0"}', 0o644), ("index.json", "f", index, 0o644)]
    files += [("blobs/sha256/" + d[7:], "f", b, 0o644) for d, b in blobs.items()]
    return tar_bytes(files)


def busybox_layer(path="/bin/busybox"):
    import os
    path = path if os.path.exists(path) else "/usr/bin/busybox"
    entries = [("bin/", "d", None, 0o755), ("etc/", "d", None, 0o755), ("tmp/", "d", None, 0o1777), ("bin/busybox", "f", open(path, "rb").read(), 0o755),
               ("etc/passwd", "f", "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/:/bin/sh\n", 0o644), ("etc/group", "f", "root:x:0:\napp:x:1001:\nmore:x:2000:app\n", 0o644)]
    for a in "sh ls cat echo sleep true false id env hostname nc httpd wget ps kill mkdir touch grep head tail wc dd ip stat sync test date mount sed".split():
        entries.append(("bin/" + a, "h", "bin/busybox", 0o755))
    return tar_bytes(entries)


def busybox(name="docker.io/library/busybox:test"):
    return archive([busybox_layer()], name, {"Env": ["PATH=/bin", "IMAGE=yes"], "Cmd": ["sh"], "WorkingDir": "/"})


if __name__ == "__main__":
    with open(sys.argv[1], "wb") as f:
        f.write(busybox(sys.argv[2] if len(sys.argv) > 2 else "docker.io/library/busybox:test"))
