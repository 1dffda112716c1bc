//! Logs in with a key, and with an answer after it where the host asks for one.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::PathBuf;
use std::rc::Rc;

use ssh2::{ErrorCode, KeyboardInteractivePrompt, Prompt, Session};

use super::candidates::{Candidates, Source, Wanted};
use super::fingerprint::Fingerprint;
use super::key_file::{KeyFile, kind_of};
use super::ssh_config::{Agent, SshConfig};
use crate::dialog::{Dialog, plain};
use crate::error::{Error, Result};
use crate::secret::Secret;

/// libssh2: the server refused the key.
const AUTHENTICATION_FAILED: ErrorCode = ErrorCode::Session(-18);
/// libssh2: the server would take the key, but no signature could be made, or it wants more than a key.
const PUBLICKEY_UNVERIFIED: ErrorCode = ErrorCode::Session(-19);

/// How often a passphrase is asked for, as OpenSSH does.
const PASSPHRASE_TRIES: u8 = 3;

/// The most lines that are shown of what a host says.
const MOST_SAID: usize = 6;

/// Passphrases that were right, by file. Copies share them, so that each is asked for once in a run.
#[derive(Clone, Debug, Default)]
pub struct Passphrases(Rc<RefCell<HashMap<PathBuf, Secret>>>);

/// What a login can be made with.
pub(super) struct LoginKeys<'a> {
    pub(super) config: &'a SshConfig,
    pub(super) wanted: Wanted<'a>,
    /// Passphrases that were right, for the next login.
    pub(super) passphrases: &'a Passphrases,
    pub(super) dialog: &'a dyn Dialog,
}

/// What came of a login.
pub(super) enum Login {
    /// It worked, with this key as far as it is known.
    In(Option<Fingerprint>),
    Refused(Refusal),
}

/// Why a login failed, over all keys and users that were tried.
#[derive(Clone, Debug, Default)]
pub(super) struct Refusal {
    /// What the server takes, comma-separated.
    pub(super) offered: String,
    pub(super) tried: Vec<String>,
    pub(super) hints: Vec<String>,
    /// What the host says before a login.
    pub(super) said: Vec<String>,
    /// A key that only the system's ssh client can use.
    pub(super) needs_client: Option<String>,
}

impl Refusal {
    /// Adds what was found out with another user.
    pub(super) fn add(&mut self, other: Self) {
        self.offered = other.offered;
        let lists = [(&mut self.tried, other.tried), (&mut self.hints, other.hints), (&mut self.said, other.said)];
        for (mine, others) in lists {
            for text in others {
                if !mine.contains(&text) {
                    mine.push(text);
                }
            }
        }
        self.needs_client = self.needs_client.take().or(other.needs_client);
    }
}

/// What came of one key.
enum KeyAttempt {
    In,
    Refused,
    /// The host took the key, and wants more than that or does not take its signature.
    Unverified,
    /// The connection is of no more use: the server counts failures.
    Closed(String),
    /// The key could not be used.
    Failed(String),
}

impl LoginKeys<'_> {
    /// Tries to log in as `user`.
    pub(super) fn log_in(&mut self, session: &Session, user: &str) -> Result<Login> {
        let offered = match session.auth_methods(user) {
            Ok(offered) => offered.to_owned(),
            // A server without any authentication lets everyone in at this point.
            Err(_) if session.authenticated() => return Ok(Login::In(None)),
            Err(e) => {
                let reason = format!("the server closed the connection: {}", plain(e.message()));
                let tried = vec![reason];
                return Ok(Login::Refused(Refusal { offered: "nothing".into(), tried, ..Refusal::default() }));
            }
        };
        let mut refusal = Refusal { offered: offered.replace(',', ", "), ..Refusal::default() };
        let banner = session.userauth_banner().ok().flatten().unwrap_or_default();
        refusal.said.extend(said(banner));
        if !has(&offered, "publickey") {
            refusal
                .hints
                .push("allow `publickey` in the host's sshd_config, since factoryup logs in only with keys".into());
            return Ok(Login::Refused(refusal));
        }
        let mut agent = self.agent(session);
        let Candidates { list, notes } = self.wanted.candidates(self.config, agent.as_mut());
        refusal.tried.extend(notes);
        for candidate in &list {
            let name = &candidate.name;
            if let Some(why) = candidate.needs_client() {
                refusal.needs_client.get_or_insert(why);
                continue;
            }
            let tried = match (&candidate.source, &agent) {
                (Source::Agent(identity), Some(agent)) => answer(agent.userauth(user, identity)),
                (Source::File(file), _) if file.encrypted.is_some() => {
                    self.try_file(session, user, file, &mut refusal)?
                }
                // A public key alone stands for the agent's.
                _ => {
                    if self.wanted.identity.is_some_and(|named| named.display().to_string() == *name) {
                        let why = "it is a public key, and ssh-agent does not have its private key";
                        refusal.tried.push(format!("{name}: {why}"));
                    }
                    continue;
                }
            };
            let tried = match tried {
                KeyAttempt::Unverified => self.answer_more(session, user, &mut refusal)?,
                other => other,
            };
            match tried {
                KeyAttempt::In => return Ok(Login::In(candidate.blob().map(Fingerprint::of))),
                KeyAttempt::Refused | KeyAttempt::Unverified => refusal.tried.push(format!("{name}: refused")),
                KeyAttempt::Failed(reason) => refusal.tried.push(format!("{name}: {reason}")),
                KeyAttempt::Closed(reason) => {
                    refusal.tried.push(format!("{name}: {reason}"));
                    if matches!(candidate.source, Source::Agent(_)) {
                        let hint =
                            "choose the right key with --identity: ssh-agent offers too many keys for this server";
                        refusal.hints.push(hint.into());
                    }
                    break;
                }
            }
        }
        Ok(Login::Refused(refusal))
    }

    fn agent(&self, session: &Session) -> Option<ssh2::Agent> {
        let usable = self.config.agent == Agent::Usual && std::env::var_os("SSH_AUTH_SOCK").is_some();
        if usable { session.agent().ok() } else { None }
    }

    fn try_file(&mut self, session: &Session, user: &str, file: &KeyFile, refusal: &mut Refusal) -> Result<KeyAttempt> {
        if file.encrypted == Some(true) {
            return self.try_encrypted(session, user, file, refusal);
        }
        Ok(answer(session.userauth_pubkey_file(user, None, &file.path, None)))
    }

    /// Answers what the host asks after a key, if that is what it wants.
    fn answer_more(&self, session: &Session, user: &str, refusal: &mut Refusal) -> Result<KeyAttempt> {
        let next = session.auth_methods(user).map(str::to_owned).unwrap_or_default();
        if has(&next, "publickey") || !has(&next, "keyboard-interactive") {
            if !next.is_empty() && !has(&next, "publickey") {
                return Ok(KeyAttempt::Failed(format!("accepted, but the host also requires {next}")));
            }
            return Ok(KeyAttempt::Refused);
        }
        if !self.dialog.is_interactive() {
            refusal.hints.push("to answer the host's question, run the command in a terminal".into());
            let why = "accepted, but the host then asks a question (keyboard-interactive), and there is no terminal";
            return Ok(KeyAttempt::Failed(why.into()));
        }
        let mut answers = Answers { dialog: self.dialog, user, failed: None };
        let result = session.userauth_keyboard_interactive(user, &mut answers);
        match answers.failed {
            Some(error) => Err(error),
            None if result.is_ok() => Ok(KeyAttempt::In),
            None => Ok(KeyAttempt::Failed("accepted, but the host rejected the answer to its question".into())),
        }
    }

    fn try_encrypted(
        &mut self,
        session: &Session,
        user: &str,
        file: &KeyFile,
        refusal: &mut Refusal,
    ) -> Result<KeyAttempt> {
        if let Some(public) = &file.public
            && !would_take(session, user, public)
        {
            return Ok(KeyAttempt::Refused);
        }
        let attempt = |passphrase: &Secret| {
            answer(session.userauth_pubkey_file(user, None, &file.path, Some(passphrase.expose())))
        };
        let known = self.passphrases.0.borrow().get(&file.path).cloned();
        if let Some(passphrase) = known {
            return Ok(attempt(&passphrase));
        }
        if !self.dialog.is_interactive() {
            refusal.hints.push(format!("add the key to ssh-agent first: `ssh-add {}`", file.path.display()));
            return Ok(KeyAttempt::Failed(
                "needs its passphrase, which factoryup cannot ask for without a terminal".into(),
            ));
        }
        for _ in 0..PASSPHRASE_TRIES {
            let passphrase = self.dialog.secret(&format!("Passphrase of {}", file.path.display()))?;
            match attempt(&passphrase) {
                // With the right passphrase the server has the last word.
                done @ (KeyAttempt::In | KeyAttempt::Unverified) => {
                    self.passphrases.0.borrow_mut().insert(file.path.clone(), passphrase);
                    return Ok(done);
                }
                KeyAttempt::Failed(_) => self.dialog.warn("Wrong passphrase."),
                other => return Ok(other),
            }
        }
        Ok(KeyAttempt::Failed("no correct passphrase was entered".into()))
    }
}

/// Answers the host's questions through the dialog.
struct Answers<'a> {
    dialog: &'a dyn Dialog,
    user: &'a str,
    failed: Option<Error>,
}

impl KeyboardInteractivePrompt for Answers<'_> {
    fn prompt<'b>(&mut self, _user: &str, instructions: &str, prompts: &[Prompt<'b>]) -> Vec<String> {
        for line in said(instructions) {
            self.dialog.note(&line);
        }
        let mut answer = |prompt: &Prompt<'b>| {
            if self.failed.is_some() {
                return String::new();
            }
            let question = plain(prompt.text.trim().trim_end_matches(':'));
            match self.dialog.secret(&format!("{question} (the host asks this for {})", self.user)) {
                Ok(answer) => answer.expose().to_owned(),
                Err(error) => {
                    self.failed = Some(error);
                    String::new()
                }
            }
        };
        prompts.iter().map(&mut answer).collect()
    }
}

/// Whether a comma-separated list has this method.
fn has(methods: &str, method: &str) -> bool {
    methods.split(',').any(|one| one == method)
}

/// The lines of what a host says, fit to be shown.
pub(super) fn said(text: &str) -> Vec<String> {
    let lines = text.lines().map(|line| plain(line.trim())).filter(|line| !line.is_empty());
    lines.take(MOST_SAID).map(|line| line.chars().take(200).collect()).collect()
}

/// Whether the server would let the user in with this key, so that nobody is asked for a passphrase in vain.
fn would_take(session: &Session, user: &str, public: &[u8]) -> bool {
    use base64::Engine as _;
    let kind = kind_of(public).unwrap_or_default();
    let line = format!("{kind} {}", base64::engine::general_purpose::STANDARD.encode(public));
    // There is no private key in this attempt, so it ends when the server asks for a signature, which is the answer.
    let result = session.userauth_pubkey_memory(user, Some(&line), "", None);
    result.is_err_and(|e| e.code() != AUTHENTICATION_FAILED && !lost(&e))
}

fn answer(result: Result<(), ssh2::Error>) -> KeyAttempt {
    match result {
        Ok(()) => KeyAttempt::In,
        Err(e) if e.code() == AUTHENTICATION_FAILED => KeyAttempt::Refused,
        Err(e) if lost(&e) => KeyAttempt::Closed("the server closed the connection".into()),
        Err(e) if e.code() == PUBLICKEY_UNVERIFIED && e.message().starts_with("Invalid signature") => {
            KeyAttempt::Unverified
        }
        Err(e) if e.code() == PUBLICKEY_UNVERIFIED => KeyAttempt::Failed("signing failed".into()),
        Err(e) => KeyAttempt::Failed(plain(e.message())),
    }
}

/// Whether an error means that the connection is gone: a socket error, a time-out, or a disconnect message.
fn lost(error: &ssh2::Error) -> bool {
    let closed = [-1, -7, -9, -13, -30, -43, -45].map(ErrorCode::Session).contains(&error.code());
    closed || error.message().contains("Waiting for")
}
