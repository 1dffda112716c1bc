//! Downloads, from a server on this machine: https with a certificate that is trusted or not, http, and servers that answer
//! with something else than what was asked for.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::disk::Small;
use super::situation::{Machine, Outcome, PROGRAM, archive_name, script, shells};
use crate::support;

/// Serves the folder argv[1] over https with the key and certificate argv[2], or over http without; `/away/` redirects to argv[3].
/// Takes what is uploaded there, as GitLab's package registry does.
const SERVER: &str = r"
import functools, http.server, pathlib, ssl, sys
class Handler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        if self.path.startswith('/away/'):
            self.send_response(302)
            self.send_header('Location', sys.argv[3] + self.path[6:])
            self.end_headers()
        else:
            super().do_GET()
    def do_PUT(self):
        path = pathlib.Path(self.translate_path(self.path))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.rfile.read(int(self.headers['Content-Length'])))
        (path.parent / 'token').write_text(str(self.headers['JOB-TOKEN'] or self.headers['PRIVATE-TOKEN']))
        self.send_response(201)
        self.end_headers()
    do_POST = do_PUT
    def log_message(self, *_):
        pass
server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), functools.partial(Handler, directory=sys.argv[1]))
if sys.argv[2]:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(sys.argv[2])
    server.socket = tls.wrap_socket(server.socket, server_side=True)
print(server.server_address[1], flush=True)
server.serve_forever()
";

/// A server that ends with the test.
pub(crate) struct Server {
    process: Child,
    pub(crate) port: u16,
}

impl Server {
    pub(crate) fn start(machine: &Machine, certificate: Option<&str>, away: &str) -> Self {
        let mut process = Command::new("python3")
            .args(["-c", SERVER])
            .arg(machine.path("dist"))
            .args([certificate.unwrap_or_default(), away])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { process, port: line.trim().parse().unwrap() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A machine with a release under `dist/v0.1.0/`, and a self-signed certificate for localhost.
pub(crate) fn machine(shell: &'static str) -> (Machine, String) {
    let machine = Machine::new(shell);
    machine.link("curl");
    machine.release(PROGRAM);
    publish(&machine);
    let certificate = machine.path("certificate.pem");
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"])
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout"])
        .arg(&certificate)
        .arg("-out")
        .arg(machine.path("public.pem"))
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(made.success());
    let public = fs::read_to_string(machine.path("public.pem")).unwrap();
    let both = fs::read_to_string(&certificate).unwrap() + &public;
    fs::write(&certificate, both).unwrap();
    (machine, certificate.to_str().unwrap().to_owned())
}

/// Moves what lies in `dist/` to where the server has to have it.
pub(crate) fn publish(machine: &Machine) {
    let dist = machine.path("dist");
    fs::create_dir_all(dist.join("v0.1.0")).unwrap();
    for name in [archive_name().as_str(), "SHA256SUMS", "SHA256SUMS.sig"] {
        let _ = fs::rename(dist.join(name), dist.join("v0.1.0").join(name));
    }
}

fn tools_are_there() -> bool {
    support::available(&["curl", "openssl", "python3", "ssh-keygen"])
}

#[test]
fn installs_over_https_from_a_server_that_is_trusted() {
    if !tools_are_there() {
        return;
    }
    for shell in shells() {
        let (mut machine, certificate) = machine(shell);
        let server = Server::start(&machine, Some(&certificate), "");
        let url = format!("https://localhost:{}/", server.port);
        let from_there = ["--yes", "--base-url", &url];
        machine.run(&from_there).expect(69).says("cannot download");
        assert_eq!(machine.files(), [], "{shell}");
        machine.set("CURL_CA_BUNDLE", machine.path("public.pem"));
        machine.run(&from_there).expect(0);
        assert_eq!(machine.installed(), "factoryup 0.1.0");
        machine.set("FACTORYUP_BASE_URL", &url);
        machine.run(&["--yes"]).expect(0).prints("replacing the one that it installed before");
        machine.run(&["--yes", "--release", "0.9.9"]).expect(69).says("/v0.9.9/SHA256SUMS");
        machine.run(&["--yes", "--release", "../0"]).expect(64).says("not a version");
        machine.run(&["--yes", "--require-signature"]).expect(64).says("no release key yet");
    }
}

#[test]
fn no_file_of_the_users_switches_tls_off() {
    if !tools_are_there() {
        return;
    }
    for shell in shells() {
        let (mut machine, certificate) = machine(shell);
        let server = Server::start(&machine, Some(&certificate), "");
        let url = format!("https://localhost:{}", server.port);
        fs::write(machine.home().join(".curlrc"), "insecure\n").unwrap();
        machine.run(&["--yes", "--base-url", &url]).expect(69).says("cannot download");
        machine.set("CURL_HOME", machine.home());
        machine.run(&["--yes", "--base-url", &url]).expect(69).says("cannot download");
        assert!(!machine.program().exists(), "{shell}");
    }
}

#[test]
fn a_version_may_begin_with_a_v() {
    if !tools_are_there() {
        return;
    }
    for shell in shells() {
        let (mut machine, certificate) = machine(shell);
        machine.set("CURL_CA_BUNDLE", machine.path("public.pem"));
        let server = Server::start(&machine, Some(&certificate), "");
        machine.set("FACTORYUP_BASE_URL", format!("https://localhost:{}", server.port));
        machine.run(&["--yes", "--release", "v0.1.0"]).expect(0).prints("Installed factoryup 0.1.0.");
        machine.set("FACTORYUP_VERSION", "v0.1.0");
        machine.run(&["--yes"]).expect(0).prints("Installed factoryup 0.1.0.");
        for wrong in ["vv0.1.0", "v", "newest"] {
            machine.run(&["--yes", "--release", wrong]).expect(64).says("not a version");
        }
    }
}

#[test]
fn gives_up_on_a_download_that_stalls() {
    if !tools_are_there() {
        return;
    }
    let machine = Machine::new("dash");
    machine.link("curl");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://127.0.0.1:{}", listener.local_addr().unwrap().port());
    let server = std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        client.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nslow").unwrap();
        // Until the client hangs up.
        let _ = client.read_to_end(&mut Vec::new());
    });
    let begun = Instant::now();
    let mut command = Command::new(which::which("timeout").unwrap());
    command.arg("300").arg(which::which("dash").unwrap()).arg(script());
    command.args(["--yes", "--allow-http", "--base-url", &url]);
    command.env_clear().env("HOME", machine.home()).env("PATH", machine.path("bin"));
    let run = Outcome::of("dash", command.output().unwrap()).expect(69);
    run.prints(&format!("Downloading {url}/v0.1.0/SHA256SUMS")).says("cannot download");
    assert!(begun.elapsed() >= Duration::from_secs(15), "a slow line is no stall");
    assert_eq!(machine.files(), []);
    server.join().unwrap();
}

#[test]
fn a_download_that_breaks_is_continued_where_it_broke() {
    if !tools_are_there() {
        return;
    }
    for continues in [true, false] {
        let (machine, _) = machine("dash");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://127.0.0.1:{}", listener.local_addr().unwrap().port());
        let release = machine.path("dist/v0.1.0");
        let server = std::thread::spawn(move || {
            let (mut asked, mut broken) = (Vec::new(), false);
            for client in listener.incoming() {
                let mut client = client.unwrap();
                let mut lines = BufReader::new(client.try_clone().unwrap()).lines().map_while(Result::ok);
                let path = lines.next().unwrap().split(' ').nth(1).unwrap().to_owned();
                if path == "/end" {
                    break;
                }
                let head: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
                let from = head.iter().find_map(|line| line.strip_prefix("Range: bytes=")).map(str::to_owned);
                let bytes = fs::read(release.join(path.rsplit('/').next().unwrap())).unwrap();
                let start: usize = from.as_ref().map_or(0, |from| from.trim_end_matches('-').parse().unwrap());
                let answer = if start > 0 && continues {
                    let range = format!("Content-Range: bytes {start}-{}/{}", bytes.len() - 1, bytes.len());
                    format!("206 Partial Content\r\n{range}\r\nContent-Length: {}", bytes.len() - start)
                } else {
                    format!("200 OK\r\nContent-Length: {}", bytes.len())
                };
                let mut body = &bytes[if continues { start } else { 0 }..];
                if path.ends_with(".tar.gz") {
                    asked.push(from);
                    if !std::mem::replace(&mut broken, true) {
                        body = &body[..body.len() / 2];
                    }
                }
                // One that cannot continue is hung up on.
                let _ = write!(client, "HTTP/1.1 {answer}\r\nConnection: close\r\n\r\n")
                    .and_then(|()| client.write_all(body));
            }
            asked
        });
        let archive = fs::metadata(machine.path("dist/v0.1.0").join(archive_name())).unwrap().len();
        machine.run(&["--yes", "--allow-http", "--base-url", &url]).expect(0).prints("Checksum matches");
        let mut last = TcpStream::connect(url.strip_prefix("http://").unwrap()).unwrap();
        last.write_all(b"GET /end HTTP/1.1\r\n\r\n").unwrap();
        let half = Some(format!("{}-", archive / 2));
        let asked = server.join().unwrap();
        assert_eq!(asked, if continues { vec![None, half] } else { vec![None, half, None] });
    }
}

#[test]
fn a_full_disk_is_not_called_a_broken_network() {
    if !tools_are_there() || !support::root() || !support::available(&["mount", "umount"]) {
        return;
    }
    let (machine, _) = machine("dash");
    let server = Server::start(&machine, None, "");
    let url = format!("http://localhost:{}", server.port);
    let home = machine.home();
    let small = Small::at(&home, 400);
    for pages in 0.. {
        small.free(pages * 4);
        let before = machine.files();
        let run = machine.run(&["--yes", "--allow-http", "--base-url", &url]);
        if run.code == Some(0) {
            assert!(pages > 3, "{pages}");
            break;
        }
        run.expect(73).says("cannot write");
        assert_eq!(machine.files(), before);
    }
}

#[test]
fn checks_what_it_downloaded() {
    if !tools_are_there() {
        return;
    }
    let (mut machine, certificate) = machine("dash");
    machine.set("CURL_CA_BUNDLE", machine.path("public.pem"));
    let server = Server::start(&machine, Some(&certificate), "");
    machine.set("FACTORYUP_BASE_URL", format!("https://localhost:{}", server.port));

    machine.release(PROGRAM);
    let key = machine.sign();
    publish(&machine);
    machine.run(&["--yes", "--signing-key", &key]).expect(0).prints("Checksum and signature match");
    fs::remove_file(machine.program()).unwrap();

    machine.release("#!/bin/sh\necho 'factoryup 0.0.9'\n");
    publish(&machine);
    machine.run(&["--yes", "--signing-key", &key]).expect(65).says("not by that key");
    machine.run(&["--yes"]).expect(65).says("that is factoryup 0.0.9, not 0.1.0");
    let archive = machine.path("dist/v0.1.0").join(archive_name());
    fs::write(&archive, "something else").unwrap();
    machine.run(&["--yes"]).expect(65).says("does not match");
    fs::remove_file(&archive).unwrap();
    machine.run(&["--yes"]).expect(69).says("cannot download");
    machine.unlink("curl");
    machine.run(&["--yes"]).expect(69).says("curl is needed");
    assert!(!machine.program().exists());
}

#[test]
fn takes_http_only_when_told_to() {
    if !tools_are_there() {
        return;
    }
    for shell in shells() {
        let (mut machine, certificate) = machine(shell);
        machine.set("CURL_CA_BUNDLE", machine.path("public.pem"));
        let open = Server::start(&machine, None, "");
        let plain = format!("http://localhost:{}", open.port);
        machine.run(&["--yes", "--base-url", &plain]).expect(64).says("is not https");
        let server = Server::start(&machine, Some(&certificate), &format!("{plain}/"));
        let redirected = format!("https://localhost:{}/away", server.port);
        machine.run(&["--yes", "--base-url", &redirected]).expect(69).says("cannot download");
        machine.run(&["--yes", "--base-url", "file:///tmp"]).expect(64).says("not an https URL");
        assert_eq!(machine.files(), [], "{shell}");
        machine.run(&["--yes", "--allow-http", "--base-url", &plain]).expect(0);
        machine.run(&["--yes", "--allow-http", "--base-url", &redirected]).expect(0);
    }
}

#[test]
fn names_a_platform_that_has_no_release() {
    for shell in shells() {
        let machine = Machine::new(shell);
        machine.fake("curl", "#!/bin/sh\necho must not run >&2\nexit 9\n");
        for (system, cpu) in [("Linux", "riscv64"), ("FreeBSD", "x86_64"), ("Linux", "armv7l")] {
            // busybox ash runs its own uname, whatever PATH says.
            if shell == "busybox ash" {
                continue;
            }
            machine.fake("uname", &format!("#!/bin/sh\n[ $1 = -s ] && echo {system} || echo {cpu}\n"));
            let run = machine.run(&["--yes", "--base-url", "https://localhost:1"]).expect(69);
            run.says(&format!("not for {system} on {cpu}")).says("--from-source DIR");
        }
        assert_eq!(machine.files(), [], "{shell}");
    }
}

#[test]
fn knows_each_platform_that_has_a_release() {
    let machine = Machine::new("dash");
    machine.fake("curl", "#!/bin/sh\nexit 9\n");
    let known = [
        ("Linux", "x86_64", "0", "x86_64-unknown-linux-musl"),
        ("Linux", "aarch64", "0", "aarch64-unknown-linux-musl"),
        ("Darwin", "x86_64", "0", "x86_64-apple-darwin"),
        ("Darwin", "arm64", "1", "aarch64-apple-darwin"),
        ("Darwin", "x86_64", "1", "aarch64-apple-darwin"),
    ];
    for (system, cpu, arm, target) in known {
        machine.fake("uname", &format!("#!/bin/sh\n[ $1 = -s ] && echo {system} || echo {cpu}\n"));
        machine.fake("sysctl", &format!("#!/bin/sh\n[ \"$2\" = hw.optional.arm64 ] && echo {arm}\n"));
        let run = machine.run(&["--dry-run", "--base-url", "https://localhost:1"]).expect(0);
        run.prints(&format!("/v0.1.0/factoryup-0.1.0-{target}.tar.gz"));
    }
}
