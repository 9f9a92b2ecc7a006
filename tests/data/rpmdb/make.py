#!/usr/bin/python3
"""Makes the databases, trees and expected lists in this folder. Needs Debian's rpm, gnupg, db5.3-util, zstd, libcap2-bin; root.

Small packages with every kind of file are built by rpmbuild, signed, and installed by rpm into an empty root: the sqlite
database is rpm's own. Its headers go unchanged into the other formats. The lists are what `rpm -qa --qf` and `rpm -Va` print.
A new run makes new keys, times and host names: the lists change with it.
"""
import hashlib
import os
import shutil
import sqlite3
import stat
import struct
import subprocess
import sys
import zlib

OUT = os.path.dirname(os.path.abspath(__file__))
WORK = "/tmp/plimsoll-rpmdb-data"
ROOT = WORK + "/root"

COMMON = """
Name: {name}
Version: {version}
Release: {release}
Summary: {summary}
License: ASL 2.0
Vendor: {vendor}
BuildArch: noarch
AutoReqProv: no
{tags}
%description
{summary}
%install
export R=$RPM_BUILD_ROOT
{install}
%files
{files}
"""

SPECS = [
    dict(name="base-files", version="9.4", release="1.el9", vendor="Red Hat, Inc.", summary="Directories and links", tags="",
         install="mkdir -p $R/usr/bin $R/usr/lib64 $R/etc $R/var/log $R/usr/share $R/dev; chmod 0555 $R/usr/bin; ln -s usr/bin $R/bin; "
                 "ln -s usr/lib64 $R/lib64",
         files="/bin\n/lib64\n%dir /usr/bin\n%dir /usr/lib64\n%dir /etc\n%dir /var/log\n%dir /usr/share\n%dev(c,1,3) %attr(0666,root,root) /dev/null2"),
    dict(name="tool", version="1.2", release="3.el9", vendor="Red Hat, Inc.", summary="Every kind of file – grüße", tags="Epoch: 2\n"
         "ModularityLabel: tools:1:20240101:abcdef\nProvides: tool(api) = 2:1.2\nProvides: tool-old < 1",
         install="""mkdir -p $R/usr/bin $R/bin $R/etc/tool $R/usr/share/tool $R/usr/share/doc/tool $R/usr/share/licenses/tool $R/var/log/tool
for f in tool owned setid verified-less capable chmodded shrunk linked1 gone grouped reset typed; do echo "program $f" > $R/usr/bin/$f; chmod 0755 $R/usr/bin/$f; done
chmod 4755 $R/usr/bin/setid
ln $R/usr/bin/linked1 $R/usr/bin/linked2
echo legacy > $R/usr/bin/legacy
ln -s tool $R/usr/bin/tool-link
ln -s tool $R/usr/bin/tool-link2
for f in a.conf b.conf c.conf; do echo "key = $f" > $R/etc/tool/$f; done
echo readme > $R/usr/share/doc/tool/README
echo licence > $R/usr/share/licenses/tool/LICENSE
echo shared > $R/usr/share/tool/shared
echo fought > $R/usr/share/tool/fought
: > $R/var/log/tool/ghost.log
: > $R/usr/share/tool/empty
printf 'x' > "$R/usr/share/tool/name with space and ü"
rmdir $R/bin""",
         files="""/usr/bin/tool
%attr(0755,daemon,daemon) /usr/bin/owned
/usr/bin/setid
%verify(not filedigest size mtime) /usr/bin/verified-less
%caps(cap_net_raw,cap_net_admin=ep) /usr/bin/capable
%caps(cap_setuid=ep) /usr/bin/reset
/usr/bin/chmodded
/usr/bin/shrunk
/usr/bin/linked1
/usr/bin/linked2
/usr/bin/gone
/usr/bin/grouped
/usr/bin/typed
/usr/bin/legacy
/usr/bin/tool-link
/usr/bin/tool-link2
%dir /etc/tool
%config(noreplace) /etc/tool/a.conf
%config /etc/tool/b.conf
%config(missingok) /etc/tool/c.conf
%doc /usr/share/doc/tool/README
%license /usr/share/licenses/tool/LICENSE
%dir /usr/share/tool
/usr/share/tool/shared
/usr/share/tool/fought
/usr/share/tool/empty
"/usr/share/tool/name with space and ü"
%dir %attr(0750,root,root) /var/log/tool
%ghost /var/log/tool/ghost.log"""),
    dict(name="twin", version="1.0~rc1", release="1.el9", vendor="Red Hat, Inc.", summary="Shares files with tool", tags="",
         install="mkdir -p $R/usr/share/tool $R/bin; echo shared > $R/usr/share/tool/shared; echo won > $R/usr/share/tool/fought; "
                 "echo sh > $R/bin/oldsh",
         files="%dir %attr(0700,root,root) /usr/share/tool\n/usr/share/tool/shared\n/usr/share/tool/fought\n/bin/oldsh"),
    dict(name="md5-tool", version="3", release="1", vendor="Example", summary="Digests by MD5", tags="%global _binary_filedigest_algorithm 1",
         install="mkdir -p $R/opt/md5; echo one > $R/opt/md5/one; echo two > $R/opt/md5/two", files="/opt/md5"),
    dict(name="sha512-tool", version="3", release="1", vendor="Example", summary="Digests by SHA-512",
         tags="%global _binary_filedigest_algorithm 10", install="mkdir -p $R/opt/sha512; echo one > $R/opt/sha512/one", files="/opt/sha512"),
    dict(name="empty", version="0", release="0", vendor="Example", summary="No files", tags="", install="", files=""),
]

PACKAGES = "\\t".join("%{" + t + "}" for t in (
    "NAME EPOCH VERSION RELEASE ARCH VENDOR SOURCERPM LICENSE LONGSIZE INSTALLTIME BUILDTIME MODULARITYLABEL SIGMD5 SHA1HEADER SHA256HEADER "
    "SIGPGP:pgpsig RSAHEADER:pgpsig DSAHEADER:pgpsig SIGGPG:pgpsig FILEDIGESTALGO BUILDHOST SUMMARY").split()) + "\\n"
FILES = "[%{=NEVRA}\\t%{FILENAMES}\\t%{LONGFILESIZES}\\t%{FILEMODES:octal}\\t%{FILEMTIMES}\\t%{FILEDIGESTS}\\t%{FILELINKTOS}\\t%{FILEFLAGS}\\t" \
    "%{FILEVERIFYFLAGS}\\t%{FILEUSERNAME}\\t%{FILEGROUPNAME}\\t%{FILERDEVS}\\t%{FILEINODES}\\t%{FILECOLORS}\\t%{FILESTATES}\\n]"
PROVIDES = "[%{=NEVRA}\\t%{PROVIDENAME}\\t%{PROVIDEFLAGS}\\t%{PROVIDEVERSION}\\n]"


def run(*argv, **kw):
    return subprocess.run(argv, check=True, **kw)


def rpm(*argv, ok=(0,)):
    r = subprocess.run(["rpm", "--root", ROOT, "--define", "_dbpath /var/lib/rpm", *argv], stdout=subprocess.PIPE, env=dict(os.environ, LC_ALL="C"))
    if r.returncode not in ok:
        sys.exit(f"rpm {argv}: {r.returncode}")
    return r.stdout


def keep(name, data):
    path = os.path.join(OUT, name + ".zst")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    run("zstd", "-q", "-19", "-f", "-o", path, input=data)


def key():
    home = WORK + "/gnupg"
    os.makedirs(home, 0o700)
    os.environ["GNUPGHOME"] = home
    run("gpg", "-q", "--batch", "--passphrase", "", "--quick-gen-key", "fixture <fixture@example.com>", "rsa2048", "sign", "never")
    pub = WORK + "/key.asc"
    with open(pub, "wb") as f:
        run("gpg", "--armor", "--export", stdout=f)
    return pub


def build():
    out = []
    for spec in SPECS:
        path = f"{WORK}/{spec['name']}.spec"
        with open(path, "w") as f:
            f.write(COMMON.format(**spec))
        run("rpmbuild", "-bb", "--quiet", "--define", f"_topdir {WORK}/top", "--define", "_build_id_links none",
            "--define", "__brp_mangle_shebangs %nil", path)
        out += [os.path.join(d, n) for d, _, ns in os.walk(WORK + "/top/RPMS") for n in ns if n.startswith(spec["name"] + "-" + spec["version"])]
    run("gpgconf", "--kill", "gpg-agent")
    unsigned = [p for p in out if "/empty-" in p]
    run("rpmsign", "--define", "_gpg_name fixture@example.com", "--define", "__gpg /usr/bin/gpg", "--addsign", *[p for p in out if p not in unsigned],
        stdin=subprocess.DEVNULL)
    run("gpgconf", "--kill", "gpg-agent")
    return out


def tree(name):
    """type, mode, uid, gid, size or rdev, sha256, security.capability, link target, path; tab separated"""
    rows = []
    for d, ds, fs in os.walk(ROOT):
        for n in sorted(ds + fs):
            p = os.path.join(d, n)
            rel = "/" + os.path.relpath(p, ROOT)
            if rel.startswith("/var/lib/rpm"):
                continue
            st = os.lstat(p)
            kind, size, digest, caps, link = "?", 0, "", "", ""
            if stat.S_ISDIR(st.st_mode):
                kind = "d"
            elif stat.S_ISLNK(st.st_mode):
                kind, link = "l", os.readlink(p)
            elif stat.S_ISREG(st.st_mode):
                kind, size, digest = "f", st.st_size, hashlib.sha256(open(p, "rb").read()).hexdigest()
                if "security.capability" in os.listxattr(p):
                    caps = os.getxattr(p, "security.capability").hex()
            elif stat.S_ISCHR(st.st_mode):
                kind, size = "c", st.st_rdev
            rows.append("\t".join(map(str, [kind, oct(st.st_mode & 0o7777)[2:], st.st_uid, st.st_gid, size, digest, caps, link, rel])))
    keep(f"verify/{name}.tree.tsv", ("\n".join(sorted(rows)) + "\n").encode())
    keep(f"verify/{name}.rpm-Va.txt", b"".join(sorted(rpm("-Va", "--nodeps", "--noscripts", "--nomtime", ok=(0, 1)).splitlines(True))))


def break_tree():
    at = lambda p: ROOT + p
    def write(p, text):
        with open(at(p), "w") as f:
            f.write(text)
    write("/usr/bin/tool", "program bool\n")           # same size, other content
    write("/usr/bin/shrunk", "x")                      # other size
    write("/usr/bin/verified-less", "whatever it is")  # told not to look
    write("/usr/bin/linked1", "both names change\n")
    write("/etc/tool/a.conf", "key = mine\n")
    os.chmod(at("/usr/bin/chmodded"), 0o777)
    os.chmod(at("/usr/bin/setid"), 0o755)
    os.chown(at("/usr/bin/owned"), 0, 2)
    os.chown(at("/usr/bin/grouped"), 0, 4242)
    os.remove(at("/usr/bin/gone"))
    os.remove(at("/usr/bin/tool-link"))
    os.symlink("shrunk", at("/usr/bin/tool-link"))
    os.remove(at("/usr/bin/tool-link2"))
    write("/usr/bin/tool-link2", "a file now")
    os.remove(at("/usr/bin/typed"))
    os.mkdir(at("/usr/bin/typed"), 0o755)
    run("setcap", "cap_net_raw=ep", at("/usr/bin/capable"))
    run("setcap", "-r", at("/usr/bin/reset"))
    run("setcap", "cap_sys_admin=ep", at("/usr/bin/legacy"))
    os.remove(at("/etc/tool/b.conf"))
    os.remove(at("/etc/tool/c.conf"))
    os.remove(at("/usr/share/licenses/tool/LICENSE"))
    os.chmod(at("/usr/share/tool"), 0o711)
    os.remove(at("/opt/md5/one"))
    write("/opt/md5/two", "longer than it was\n")
    os.remove(at("/opt/sha512/one"))
    os.symlink("/nowhere", at("/opt/sha512/one"))
    os.rename(at("/var/log"), at("/var/logs"))         # a directory that is a link now
    os.symlink("logs", at("/var/log"))
    os.remove(at("/dev/null2"))
    os.mknod(at("/dev/null2"), 0o666 | stat.S_IFCHR, os.makedev(1, 5))


def ndb(rows):
    pages = ((2 + len(rows)) * 16 + 4095) // 4096
    body, slots, blk = bytearray(), bytearray(), pages * 256
    for hnum, blob in rows:
        cnt = (16 + len(blob) + 12 + 15) // 16
        b = struct.pack("<4sIII", b"BlbS", hnum, 1, len(blob)) + blob
        b += bytes(cnt * 16 - 12 - len(b))
        body += b + struct.pack("<II4s", zlib.adler32(b), len(blob), b"BlbE")
        slots += struct.pack("<4sIII", b"Slot", hnum, blk, cnt)
        blk += cnt
    slots += struct.pack("<4sIII", b"Slot", 0, 0, 0) * (pages * 256 - 2 - len(rows))
    return struct.pack("<4sIIII", b"RpmP", 0, 1, pages, rows[-1][0] + 1).ljust(32, b"\0") + bytes(slots) + bytes(body)


def bdb(rows, order, pagesize):
    path = WORK + "/Packages"
    if os.path.exists(path):
        os.remove(path)
    pairs = [(0, struct.pack(order + "I", rows[-1][0]))] + rows
    text = "VERSION=3\nformat=bytevalue\ntype=hash\nHEADER=END\n"
    text += "".join(f" {struct.pack(order + 'I', h).hex()}\n {b.hex()}\n" for h, b in pairs) + "DATA=END\n"
    lorder = "1234" if order == "<" else "4321"
    run("db5.3_load", "-t", "hash", "-c", f"db_pagesize={pagesize}", "-c", f"db_lorder={lorder}", path, input=text.encode())
    return open(path, "rb").read()


def lists(name):
    for kind, form in (("packages", PACKAGES), ("files", FILES), ("provides", PROVIDES)):
        keep(f"expected/{name}.{kind}.tsv", b"".join(sorted(rpm("-qa", "--qf", form).splitlines(True))))


def main():
    shutil.rmtree(WORK, ignore_errors=True)
    os.makedirs(ROOT + "/etc")
    pub = key()
    packages = build()
    with open(ROOT + "/etc/passwd", "w") as f:
        f.write("root:x:0:0:root:/root:/bin/bash\ndaemon:x:2:2:daemon:/sbin:/sbin/nologin\n")
    with open(ROOT + "/etc/group", "w") as f:
        f.write("root:x:0:\ndaemon:x:2:\n")
    rpm("--initdb")
    rpm("--import", pub)
    rpm("-i", "--force-debian", "--nodeps", "--excludedocs", *[p for p in packages if "/twin-" not in p])
    rpm("-i", "--force-debian", "--nodeps", "--excludedocs", "--replacefiles", *[p for p in packages if "/twin-" in p])
    tree("clean")
    db = ROOT + "/var/lib/rpm/rpmdb.sqlite"
    with sqlite3.connect(db) as con:
        con.execute("pragma wal_checkpoint(truncate)")
        rows = con.execute("select hnum, blob from Packages order by hnum").fetchall()
    con.close()
    keep("db/sqlite/rpmdb.sqlite", open(db, "rb").read())
    lists("sqlite")
    keep("db/ndb/Packages.db", ndb(rows))
    keep("db/bdb/Packages", bdb(rows, "<", 4096))
    keep("db/bdb-big-endian/Packages", bdb(rows, ">", 1024))
    break_tree()
    tree("broken")
    # a transaction that is only in the log, and one after it that was never committed
    con = sqlite3.connect(db, isolation_level=None)
    con.execute("pragma wal_autocheckpoint=0")
    con.execute("delete from Packages where hnum = (select max(hnum) from Packages)")
    con.execute("pragma cache_size=1")
    lists("sqlite-wal")
    con.execute("begin")
    con.execute("delete from Packages")
    con.execute("create table spill (x)")
    for _ in range(200):
        con.execute("insert into spill values (zeroblob(4000))")
    keep("db/sqlite-wal/rpmdb.sqlite", open(db, "rb").read())
    keep("db/sqlite-wal/rpmdb.sqlite-wal", open(db + "-wal", "rb").read())
    con.execute("rollback")
    con.close()


main()
