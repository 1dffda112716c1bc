//! Hosts that are not there, and connections that end.

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use disposable_host::delay_proxy;
use factoryup::Kind;

use crate::support::PATIENCE;
use crate::{connect, error, exec, lab};

#[test]
fn what_is_unreachable_says_how() {
    let Some(lab) = lab() else { return };
    let closed = error(lab.unknown(SocketAddr::new(lab.host.address(), 2299)).0);
    assert_eq!(closed.kind(), Kind::Unreachable);
    assert!(
        closed.to_string().ends_with(":2299: connection refused") && closed.hints()[0].contains("port"),
        "{closed:?}"
    );

    let (mut options, _folder) = lab.unknown(lab.direct());
    options.host = "no-such-host.invalid".into();
    let nowhere = error(options);
    assert_eq!(nowhere.kind(), Kind::Unreachable);
    assert!(nowhere.to_string().starts_with("cannot resolve no-such-host.invalid: "), "{nowhere}");

    // Something that takes connections and says nothing, and something that says something else.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let (mut options, _folder) = lab.unknown(silent.local_addr().unwrap());
    options.timeouts.handshake = Duration::from_millis(1200);
    let begun = Instant::now();
    let mute = error(options.clone());
    assert_eq!(mute.kind(), Kind::Unreachable);
    assert!(mute.to_string().ends_with("handshake: no answer within 1.2 s"), "{mute}");
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
    // The connection that was given up above is the first to be taken.
    drop(silent.accept().unwrap());
    std::thread::spawn(move || {
        std::io::Write::write_all(&mut silent.accept().unwrap().0, b"HTTP/1.1 400 Bad Request\r\n\r\n")
    });
    let web = error(options);
    assert_eq!(web.kind(), Kind::Unreachable);

    for bad in ["", "-oProxyCommand=x", "a b", "root@"] {
        let (mut options, _folder) = lab.unknown(lab.direct());
        options.host = bad.into();
        assert_eq!(error(options).kind(), Kind::Usage, "{bad}");
    }
}

#[test]
fn a_connection_that_is_lost_is_told_from_a_command_that_fails() {
    let Some(lab) = lab() else { return };
    let proxy = delay_proxy::start(lab.direct(), Duration::ZERO).unwrap();
    let (options, _folder) = lab.known(proxy.address());
    let mut session = connect(options.clone()).unwrap();
    let cut = session.exec("echo begun; sleep 600", b"", None, &mut |_| proxy.cut()).unwrap_err();
    assert_eq!(cut.kind(), Kind::CutShort, "{cut}");
    assert!(cut.hints()[0].contains("resumes"), "{cut:?}");
    assert_eq!(session.exec("true", b"", None, &mut |_| ()).unwrap_err().kind(), Kind::CutShort);

    // The server's process for this connection is killed: no exit status, so no success.
    let mut session = connect(options.clone()).unwrap();
    let killed = session.exec("kill -KILL $PPID; sleep 600", b"", None, &mut |_| ()).unwrap_err();
    assert_eq!(killed.kind(), Kind::CutShort, "{killed}");

    // The other side is there, and silent.
    let (mut options, _folder) = lab.known(lab.direct());
    options.timeouts.keepalive = Duration::from_secs(2);
    options.timeouts.silence = Duration::from_secs(5);
    let mut session = connect(options).unwrap();
    // It answers for longer than that while a command says nothing...
    assert!(exec(&mut *session, "sleep 7", b"").1.success());
    // ...until it stops to answer at all.
    let begun = Instant::now();
    let stopped = session.exec("echo $PPID; kill -STOP $PPID; sleep 600", b"", None, &mut |_| ()).unwrap_err();
    assert_eq!(stopped.kind(), Kind::CutShort);
    assert!(stopped.to_string().contains("no output for 5 s"), "{stopped}");
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
}

/// Neither what a command says nor how long it takes is the host's to decide.
#[test]
fn a_command_without_end_is_given_up() {
    let Some(lab) = lab() else { return };
    let (mut options, _folder) = lab.known(lab.direct());
    for (script, kind, limit) in [
        ("yes", Kind::Data, " than the limit of "),
        ("yes >&2", Kind::Data, " than the limit of "),
        ("while :; do echo drip; sleep 0.3; done", Kind::CutShort, "not complete within 2 s"),
        ("sleep 600", Kind::CutShort, "not complete within 2 s"),
        ("exec 0<&- 1>&- 2>&-; sleep 600", Kind::CutShort, "timed out"),
    ] {
        options.timeouts.question = Duration::from_secs(if kind == Kind::Data { 120 } else { 2 });
        let mut session = connect(options.clone()).unwrap();
        let begun = Instant::now();
        let error = session.exec(script, b"", None, &mut |_| ()).unwrap_err();
        assert!(error.kind() == kind && error.to_string().contains(limit), "{script}: {error}");
        assert!(begun.elapsed() < PATIENCE, "{script}: {:?}", begun.elapsed());
    }
}
