"""Certificates as FISCO BCOS's own tools make them, by the openssl program, made anew for each run.

`Fisco3`: RSA-2048; a chain CA of X.509 version 1 (its config has no x509_extensions), nodes directly below it
with `basicConstraints=CA:FALSE` and nothing else: no SAN, no key usage. `Fisco2`: all secp256k1; chain CA,
agency, node, and all three in `node.crt`. `SdkChain`: what the SDKs of 2.x and a node's port for them show.
"""

import datetime
import pathlib
import subprocess

from harness import Failure

DAY = datetime.timedelta(days=1)


def openssl(*arguments, text=None):
    """Runs openssl; its stdout as bytes."""
    done = subprocess.run(["openssl", *map(str, arguments)], input=text, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, check=False)
    if done.returncode:
        raise Failure(f"openssl {' '.join(map(str, arguments))}: {done.stderr.decode(errors='replace')[-400:]}")
    return done.stdout


def version():
    return openssl("version").decode().strip()


def moment(offset):
    """A time for `openssl ca`, that far from now."""
    return (datetime.datetime.now(datetime.timezone.utc) + offset).strftime("%Y%m%d%H%M%SZ")


class Authority:
    """A key with a certificate, and the files by which `openssl ca` keeps book."""

    def __init__(self, directory, key, certificate):
        directory.mkdir(parents=True, exist_ok=True)
        self.directory, self.key, self.certificate = directory, key, certificate
        (directory / "index.txt").touch()
        (directory / "serial").write_text("1001\n")
        (directory / "crlnumber").write_text("01\n")
        self.config = directory / "ca.cnf"
        self.config.write_text(f"""
[ca]
default_ca = this
[this]
database = {directory}/index.txt
serial = {directory}/serial
crlnumber = {directory}/crlnumber
new_certs_dir = {directory}
certificate = {certificate}
private_key = {key}
default_md = sha256
default_days = 36500
default_crl_days = 30
policy = any
unique_subject = no
preserve = yes
[any]
commonName = supplied
organizationName = supplied
organizationalUnitName = supplied
""")

    def issue(self, request, certificate, extensions, begins=-DAY, ends=36500 * DAY):
        """Signs a request; the certificate is valid from `begins` to `ends`, counted from now."""
        file = certificate.with_suffix(".ext")
        file.write_text(extensions)
        openssl("ca", "-batch", "-config", self.config, "-in", request, "-out", certificate, "-notext",
                "-extfile", file, "-startdate", moment(begins), "-enddate", moment(ends))

    def revoke(self, certificate):
        """Revokes it; the path of the new revocation list."""
        openssl("ca", "-config", self.config, "-revoke", certificate)
        path = self.directory / "ca.crl"
        openssl("ca", "-config", self.config, "-gencrl", "-out", path)
        return path


class Node:
    """One node's files."""

    def __init__(self, directory, certificate, key):
        self.directory, self.certificate, self.key = directory, certificate, key

    def long_id(self):
        """The content of the BIT STRING subjectPublicKey as hex, by openssl's reading of the certificate."""
        key = openssl("x509", "-in", self.certificate, "-noout", "-pubkey")
        info = openssl("pkey", "-pubin", "-outform", "DER", text=key)
        if b"\x2a\x86\x48\xce\x3d\x02\x01" in info:  # id-ecPublicKey: the point ends the structure
            return info[-65:].hex()
        return openssl("rsa", "-pubin", "-RSAPublicKey_out", "-outform", "DER", text=key).hex()

    def subject(self):
        line = openssl("x509", "-in", self.certificate, "-noout", "-subject", "-nameopt", "RFC2253").decode()
        return line.strip().removeprefix("subject=")


class Chain:
    """A chain CA and its nodes, in `directory`."""

    files = ("node.crt", "node.key")
    key_kind = ""
    key_extensions = "basicConstraints=CA:FALSE\n"

    def __init__(self, directory, name):
        self.directory, self.name = pathlib.Path(directory), name
        self.directory.mkdir(parents=True)
        self.ca = self.directory / "ca.crt"
        key, config = self.directory / "ca.key", self.directory / "req.cnf"
        # No x509_extensions: that makes it a certificate of version 1.
        config.write_text("[req]\ndistinguished_name = dn\nprompt = no\n[dn]\n")
        self.new_key(key)
        openssl("req", "-new", "-x509", "-sha256", "-days", 36500, "-key", key, "-out", self.ca,
                "-config", config, "-subj", self.subject_of_ca())
        self.authority = Authority(self.directory / "ca", key, self.ca)

    def new_key(self, path):
        raise NotImplementedError

    def subject_of_ca(self):
        raise NotImplementedError

    def request(self, key, subject):
        path = key.with_suffix(".csr")
        openssl("req", "-new", "-sha256", "-key", key, "-out", path, "-config",
                self.directory / "req.cnf", "-subj", subject)
        return path

    def issuer(self):
        """Who signs nodes."""
        return self.authority

    def node(self, name, **dates):
        """A new node; `begins` and `ends` are its dates, counted from now."""
        directory = self.directory / name
        directory.mkdir()
        (directory / "ca.crt").write_bytes(self.ca.read_bytes())
        certificate, key = (directory / file for file in self.files)
        self.new_key(key)
        self.issuer().issue(self.request(key, self.subject_of_node(name)), certificate,
                            self.key_extensions, **dates)
        certificate.write_bytes(certificate.read_bytes() + self.above_node())
        return Node(directory, certificate, key)

    def subject_of_node(self, name):
        raise NotImplementedError

    def above_node(self):
        """What stands behind the node's certificate in its file."""
        return b""


class Fisco3(Chain):
    """FISCO BCOS 3.x, `tools/BcosAirBuilder/build_chain.sh`."""

    files = ("ssl.crt", "ssl.key")
    key_kind = "RSA-2048"

    def new_key(self, path):
        openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", path)

    def subject_of_ca(self):
        return f"/CN=FISCO-BCOS-{self.name}/O=FISCO-BCOS-{self.name}/OU=chain"

    def subject_of_node(self, name):
        return f"/CN=FISCO-BCOS-{name}/O=fisco-bcos/OU=agency"


class Fisco2(Chain):
    """FISCO BCOS 2.x, `tools/build_chain.sh`."""

    key_kind = "secp256k1"
    key_extensions = ("basicConstraints=CA:FALSE\n"
                      "keyUsage=nonRepudiation,digitalSignature,keyEncipherment\n")

    def __init__(self, directory, name):
        super().__init__(directory, name)
        key, self.agency = self.directory / "agency.key", self.directory / "agency.crt"
        self.new_key(key)
        self.authority.issue(self.request(key, f"/CN={name}-agency/O=fisco-bcos/OU=agency"), self.agency,
                             "basicConstraints=CA:TRUE\n")
        self.agency_authority = Authority(self.directory / "agency", key, self.agency)

    def new_key(self, path):
        # With the block EC PARAMETERS before the key, as `ecparam -genkey` writes it.
        openssl("ecparam", "-name", "secp256k1", "-genkey", "-out", path)

    def subject_of_ca(self):
        return f"/CN={self.name}/O=fisco-bcos/OU=chain"

    def subject_of_node(self, name):
        return f"/CN={name}/O=fisco-bcos/OU=node"

    def issuer(self):
        return self.agency_authority

    def above_node(self):
        return self.agency.read_bytes() + self.ca.read_bytes()


class SdkChain(Fisco2):
    """Chain CA, agency and leaves below it, as the 2.x tools make them, of a kind of key that runtimes of today
    accept: `P-256`, or `RSA-2048` (which FISCO BCOS 2.9 has for the SDKs alone, `conf/channel_cert`). With
    `secp256k1` it is what `build_chain.sh` makes.
    """

    def __init__(self, directory, name, key_kind):
        self.key_kind = key_kind
        super().__init__(directory, name)

    def new_key(self, path):
        if self.key_kind == "RSA-2048":
            options = ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]
        else:
            options = ["-algorithm", "EC", "-pkeyopt", f"ec_paramgen_curve:{self.key_kind}"]
        # PKCS#8: the SDKs read nothing else.
        openssl("genpkey", *options, "-out", path)

    def sdk(self, name):
        """A directory as SDKs want it, with ca.crt, sdk.crt and sdk.key; the path."""
        made = self.node(name)
        made.certificate.rename(made.directory / "sdk.crt")
        made.key.rename(made.directory / "sdk.key")
        return made.directory
