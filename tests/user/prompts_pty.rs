//! What answers a question, and what does not: pasted texts, input from before it, stops; and how it fits into the window.

use std::fs;
use std::process::Command;

use crate::home::{CANARY, CTRL_C, CTRL_U, DOWN, Home};
use crate::pty;
use crate::pty::Pty;
use portable_pty::PtySize;

const MARKS_ON: &str = "\u{1b}[?2004h";
const MARKS_OFF: &str = "\u{1b}[?2004l";
const BINARY: &str = env!("CARGO_BIN_EXE_factoryup");
const WITHOUT_TOKEN: [(&str, &str); 1] = [("GITLAB_TOKEN", "")];

/// A home with a control repo in it.
fn with_a_factory() -> Home {
    let home = Home::new();
    let arguments = ["init", "acme", "--defaults", "--name", "acme", "--host-kind", "none", "--gitlab-group", "acme"];
    let made = run(&home, &arguments);
    assert_eq!(made.0, Some(0), "{}", made.2);
    home
}

/// Runs it without a terminal: exit code, standard output, standard error.
fn run(home: &Home, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(BINARY);
    command.args(arguments).current_dir(home.0.path()).env_clear().envs(home.environment());
    let output = command.env("GITLAB_TOKEN", "").stdin(std::process::Stdio::null()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn terminal(home: &Home, arguments: &[&str], columns: u16) -> Pty {
    Pty::start(home.command(BINARY, &[&["-C", "acme"], arguments].concat(), &WITHOUT_TOKEN), columns)
}

/// A question that the next `apply repo` asks.
fn with_a_change() -> Home {
    let home = with_a_factory();
    let file = home.folder().join("factory.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("description = \"\"", "description = \"Tea\"")).unwrap();
    home
}

#[test]
fn a_pasted_text_goes_into_one_line_and_waits_for_enter() {
    let home = Home::new();
    let mut pty = home.wizard();
    pty.expect("Name of the factory").expect("> ").paste("shop\n\n\n\n\n\n\n\n\n").expect("> shop");
    pty.send("s").expect("> shops").paste("one\ntwo\n").expect("! The pasted text has 2 lines").expect("> shops");
    pty.send("\r").expect("Where the agent works").expect("> ssh");
    pty.paste("3\n\n\n").expect("! Pasted text is ignored here").expect("> ssh");
    // Letters point at what they begin.
    pty.send("loc").expect("> local").send("s").expect("> ssh").send("\r");
    pty.expect("Address of the host").expect("> forge").send(CTRL_C);
    let (code, screen) = pty.end();
    assert_eq!(code, 130);
    assert!(!screen.contains("Your public SSH key"), "{screen}");
    assert!(screen.find(MARKS_ON) < screen.find("Name of the factory"), "{screen:?}");
    assert!(screen.rfind(MARKS_ON) < screen.rfind(MARKS_OFF), "{screen:?}");
}

#[test]
fn input_from_before_a_question_does_not_answer_it() {
    let home = Home::new();
    let mut pty = home.wizard();
    // As a terminal sends it that marks nothing.
    pty.expect("Name of the factory").expect("> ").send("shop\rlocal\r\r\r\r\r\r\r\r\r");
    pty.expect("! Input from before this question is ignored").expect("Where the agent works").expect("> ssh");
    pty.send("\r").expect("Address of the host").expect("> forge").send("\r");
    pty.expect("Your public SSH key").expect("[x]").send("\r");
    // An answer that is refused is followed by the same question.
    pty.answer("URL of GitLab", "http://x.example\rhttps://y.example\r\r");
    pty.expect("! Input from before").expect("is plain http").expect("> http://x.example").send(CTRL_U).send("\r");
    pty.expect("GitLab group [shop]").send(CTRL_C);
    assert_eq!(pty.end().0, 130);
    assert!(home.is_untouched());
}

#[test]
fn ctrl_c_counts_whenever_it_is_pressed() {
    let home = Home::new();
    let mut pty = home.wizard();
    pty.expect("Name of the factory").expect("> ").send(&format!("shop\r\r{CTRL_C}\r")).expect("canceled at: Where");
    assert_eq!(pty.end().0, 130);
}

#[test]
fn a_pasted_text_confirms_nothing() {
    let home = with_a_change();
    let before = fs::read(home.folder().join(".factory/manifest.toml")).unwrap();
    let mut pty = terminal(&home, &["apply", "repo"], 100);
    pty.expect("[y/N] ")
        .paste("y\ny\n")
        .expect("! Pasted text is ignored here: press y or n")
        .expect("[y/N] ")
        .send("n");
    let (code, screen) = pty.end();
    assert_eq!(code, 130, "{screen}");
    assert!(screen.rfind(MARKS_ON) < screen.rfind(MARKS_OFF), "{screen:?}");
    assert_eq!(fs::read(home.folder().join(".factory/manifest.toml")).unwrap(), before);
    let mut pty = terminal(&home, &["apply", "repo"], 100);
    pty.send("y").expect("[y/N] ").send("n");
    assert_eq!(pty.end().0, 130);
}

#[test]
fn a_pasted_secret_waits_for_enter_and_is_not_shown() {
    let home = with_a_factory();
    let mut pty = terminal(&home, &["apply", "gitlab"], 100);
    pty.expect("(not shown): ").paste(&format!("{CANARY}\nsecond\n")).expect("! The pasted text has 2 lines");
    pty.expect("(not shown): ").paste(&format!("{CANARY}\n")).expect("(pasted; press Enter)").send(CTRL_C);
    let (code, screen) = pty.end();
    assert_eq!(code, 130, "{screen}");
    assert!(screen.contains("canceled at: GitLab token") && !screen.contains("CANARY"), "{screen}");
    assert!(screen.rfind(MARKS_ON) < screen.rfind(MARKS_OFF), "{screen:?}");
}

#[test]
fn ctrl_z_gives_the_terminal_back_and_takes_it_again() {
    let home = Home::new();
    let settings = "stty -a | tr ' ;' '\\n\\n' | grep -x -e echo -e icanon | tr '\\n' ' '";
    let script = format!("set -m; {BINARY} init acme; {settings}; echo stopped; fg; echo code $?");
    let mut pty = Pty::start(home.command("sh", &["-c", &script], &[]), 100);
    pty.expect("Name of the factory").expect("> ").send("sho").expect("> sho").send("\u{1a}");
    pty.expect("icanon").expect("echo").expect("stopped").expect("> sho").send("p\r");
    pty.expect("Where the agent works").expect("> ssh");
    let seen = pty.raw();
    let marks = |text: &str| seen.matches(text).count();
    assert_eq!((marks(MARKS_ON), marks(MARKS_OFF)), (2, 1), "{seen:?}");
    pty.send(CTRL_C).expect("code 130");
    pty.end();
}

/// Every line fits, unless it is one word.
fn assert_fits(screen: &str, columns: u16) {
    for line in console::strip_ansi_codes(screen).split(['\r', '\n']) {
        let one_word = !line.trim().contains(' ');
        assert!(console::measure_text_width(line) <= columns.into() || one_word, "{columns}: {line:?}");
    }
}

/// The texts are there with every word whole.
fn assert_has(screen: &str, texts: &[&str]) {
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let screen = words(&console::strip_ansi_codes(screen));
    for text in texts {
        assert!(screen.contains(&words(text)), "{text}: {screen}");
    }
}

const WINDOWS: [(u16, u16); 3] = [(80, 24), (100, 40), (40, 24)];

fn window((cols, rows): (u16, u16)) -> PtySize {
    PtySize { rows, ..pty::size(cols) }
}

#[test]
fn the_wizard_breaks_lines_between_words() {
    for (columns, rows) in WINDOWS {
        let home = Home::new();
        let mut pty = Pty::start_in(home.command(BINARY, &["init", "acme"], &[]), window((columns, rows)));
        pty.answer("Name of the factory", "?").expect("Example: acme");
        pty.send("Not A Name\r").expect("! ").expect("> Not A Name").send(CTRL_U).send("shop\r");
        pty.expect("Where the agent works").send("?").expect("GitLab.").expect("> ssh").send(DOWN).send(DOWN);
        pty.expect("> none").send("\r");
        for question in ["URL of GitLab", "GitLab group", "GitLab subscription", "Coding agent", "Use Cloudflare"] {
            pty.answer(question, "");
        }
        pty.expect("Is this correct?").send("\r");
        let (code, screen) = pty.end();
        assert_eq!(code, 0, "{screen}");
        assert_fits(&screen, columns);
        assert_has(
            &screen,
            &[
                "Enter accepts the value in brackets, ? explains, Esc or < goes back, Ctrl-U clears the line, Ctrl-C quits and saves your answers.",
                "Used for the directory, the systemd slice and the evidence. 2 to 32 of a-z, 0-9 and single -, beginning with a letter. It is hard to change: choose the name of the product or the team. Example: acme",
                "use 2 to 32 of a-z, 0-9 and single -, beginning with a letter, such as `acme`",
                "Found a GitLab token (GITLAB_TOKEN); it stays where it is.",
                "review the changes to the host and GitLab with `factoryup plan --diff`, then apply them with `factoryup apply`.",
            ],
        );
    }
}

#[test]
fn plans_errors_and_questions_break_lines_between_words() {
    let home = with_a_change();
    for size in WINDOWS {
        let run = |arguments: &[&str]| {
            let arguments = [&["-C", "acme"], arguments].concat();
            Pty::start_in(home.command(BINARY, &arguments, &WITHOUT_TOKEN), window(size))
        };
        for (arguments, text) in [
            (&["plan", "repo"][..], "--diff shows the texts"),
            (&["plan", "repo", "--diff"], "description = \"Tea\""),
            (&["doctor", "repo"], "the templates with the last applied settings render the recorded files"),
            (&["evidence", "verify"], "compare the head with one that you stored elsewhere."),
            (&["app", "add", "shop"], "app add needs --kind, which says what the application is"),
            (&["app", "add", "--kond"], "a similar argument exists: '--kind'"),
        ] {
            let (_, screen) = run(arguments).end();
            if !arguments.contains(&"--diff") {
                assert_fits(&screen, size.0);
            }
            assert_has(&screen, &[text]);
        }
        let mut pty = run(&["apply", "gitlab"]);
        pty.expect("shown): ").send(CTRL_C);
        let (_, screen) = pty.end();
        assert_fits(&screen, size.0);
        let page = "https://gitlab.com/-/user_settings/personal_access_tokens?name=factoryup&scopes=api";
        assert!(screen.contains(page), "{screen}");
        assert_has(&screen, &["GitLab token of a group Owner for https://gitlab.com, with the scope api (not shown):"]);
    }
}

#[test]
fn what_is_not_a_terminal_is_not_wrapped() {
    let home = with_a_change();
    let script = |command: &str| {
        let script = format!("{BINARY} -C acme {command}");
        Pty::start(home.command("sh", &["-c", &script], &WITHOUT_TOKEN), 40).end()
    };
    script("doctor repo >doctor; true");
    script("apply gitlab --yes --gitlab-token-file nowhere 2>said");
    let read = |name: &str| fs::read_to_string(home.0.path().join(name)).unwrap();
    assert_eq!(read("doctor"), run(&home, &["-C", "acme", "doctor", "repo"]).1);
    assert_eq!(
        read("said"),
        run(&home, &["-C", "acme", "apply", "gitlab", "--yes", "--gitlab-token-file", "nowhere"]).2
    );
    // Each stream by itself: the other one is a terminal.
    let (_, screen) = script("app add shop >nothing");
    assert_fits(&screen, 40);
    assert!(read("doctor").lines().any(|line| line.len() > 40));
}

#[test]
fn a_command_that_waits_for_an_answer_keeps_none_from_reading_and_is_named_to_others() {
    let home = with_a_change();
    let mut pty = terminal(&home, &["apply", "gitlab"], 100);
    pty.expect("(not shown): ");
    let waiting = home.process(BINARY);
    for (arguments, code) in [
        (&["doctor", "repo"][..], 0),
        (&["plan", "repo"], 2),
        (&["upgrade", "--dry-run", "--defaults"], 2),
        (&["resolve"], 0),
        (&["evidence", "verify"], 0),
    ] {
        let (ended, out, err) = run(&home, &[&["-C", "acme"], arguments].concat());
        assert_eq!(ended, Some(code), "{arguments:?}: {out}{err}");
    }
    // The host is none, and the token is not known: both are looked at all the same.
    for arguments in [&["plan"][..], &[]] {
        let (_, out, err) = run(&home, &[&["-C", "acme"], arguments].concat());
        assert!(
            err.contains("no GitLab token for https://gitlab.com") && !err.contains("another factoryup"),
            "{out}{err}"
        );
    }
    for arguments in [&["apply", "repo", "--yes"][..], &["upgrade", "--yes", "--no-push"], &["resolve", "--mine"]] {
        let (ended, _, err) = run(&home, &[&["-C", "acme"], arguments].concat());
        let holder = format!("another factoryup (process {waiting}, `factoryup apply`, since 20");
        assert_eq!(ended, Some(73), "{arguments:?}: {err}");
        assert!(err.contains(&holder) && err.contains("next: answer its question"), "{err}");
    }
    pty.send(CTRL_C);
    assert_eq!(pty.end().0, 130);
    assert_eq!(run(&home, &["-C", "acme", "apply", "repo", "--yes"]).0, Some(0));
}
