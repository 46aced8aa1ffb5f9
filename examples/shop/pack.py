#!/usr/bin/env python3
"""Pack files into an OCI image archive, offline: pack.py OUT.tar NAME:TAG ENTRYPOINT FILE=PATH_IN_IMAGE...

A file is executable where it is on disk; PATH may be given several times with links as TARGET->PATH. Nothing but the standard library;
the same input gives the same bytes. Source: OCI image-spec 1.1 (layout, manifest, config)."""
import gzip
import hashlib
import io
import json
import os
import sys
import tarfile


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def add(tar, name, data=b"", mode=0o644, kind=tarfile.REGTYPE, link=""):
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.type, info.linkname = len(data), mode, kind, link
    tar.addfile(info, io.BytesIO(data))


def layer(entries):
    out, made = io.BytesIO(), set()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for source, target in entries:
            path = target.lstrip("/")
            parts = path.split("/")[:-1]
            for i in range(len(parts)):
                folder = "/".join(parts[: i + 1])
                if folder not in made:
                    made.add(folder)
                    add(tar, folder, mode=0o1777 if folder == "tmp" else 0o755, kind=tarfile.DIRTYPE)
            if source.startswith("->"):
                add(tar, path, kind=tarfile.SYMTYPE, link=source[2:], mode=0o777)
            elif source == "":
                add(tar, path, kind=tarfile.DIRTYPE, mode=0o1777 if path == "tmp" else 0o755)
            else:
                with open(source, "rb") as f:
                    add(tar, path, f.read(), 0o755 if os.access(source, os.X_OK) else 0o644)
    return out.getvalue()


def pack(out_path, name, entrypoint, entries):
    machine = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}.get(os.uname().machine, os.uname().machine)
    plain = layer(entries)
    blob = gzip.compress(plain, mtime=0)
    config = json.dumps({"architecture": machine, "os": "linux", "config": {"Entrypoint": entrypoint, "Env": ["PATH=/usr/local/bin:/usr/bin:/bin"]},
                         "rootfs": {"type": "layers", "diff_ids": [digest(plain)]}}, sort_keys=True).encode()
    manifest = json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                           "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest(config), "size": len(config)},
                           "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": digest(blob), "size": len(blob)}]},
                          sort_keys=True).encode()
    index = json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
                        "manifests": [{"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest(manifest), "size": len(manifest),
                                       "annotations": {"org.opencontainers.image.ref.name": name, "io.containerd.image.name": name}}]}, sort_keys=True).encode()
    with tarfile.open(out_path, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        add(tar, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        add(tar, "index.json", index)
        for data in (config, manifest, blob):
            add(tar, "blobs/sha256/" + digest(data)[7:], data)


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    pack(sys.argv[1], sys.argv[2], [sys.argv[3]] if sys.argv[3] else None, [tuple(a.split("=", 1)) for a in sys.argv[4:]])


if __name__ == "__main__":
    main()
