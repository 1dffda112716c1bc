//! The host as a [`Target`]: one session, a probe to observe, an apply for what differs.

use std::time::{Duration, Instant};

use super::accounts::AGENT;
use super::event::Line;
use super::follow::{Follow, Skipped};
use super::observed::Observed;
use super::profile::{self, Drill, Wishes};
use super::program::guard::Staged;
use super::program::{HostPath, Questions, Run, Show, Step, apply, last_line, stop};
use super::receipt::Left;
use super::resources::Resource;
use super::root::Root;
use crate::dialog::{Dialog, Silent, plain};
use crate::error::{Error, Kind, Result};
use crate::factory::{Factory, HostKind, Sudo};
use crate::hand_over::{HandOver, Token};
use crate::interrupt::Work;
use crate::plan::{Action, Change, Log, Plan, Proof, Risk, Target, TargetName, Watch};
use crate::secret::Secret;
use crate::transport::{Transport, Who};

/// Seconds that the host waits for the confirmation of guarded changes. Two logins at a bad connection take less than half of it.
const REVERT_AFTER: u32 = 120;
/// How long a probe waits for a run that still works on the host.
const BUSY_LIMIT: Duration = Duration::from_mins(10);

/// The fact that guarded changes are in place which nobody has confirmed: `waits` while a timer will take them back, else `stuck`.
const UNSETTLED: &str = "unsettled";

/// Makes a way to the host for a user of these.
pub type Dial<'d> = Box<dyn Fn(&Who<'_>) -> Result<Box<dyn Transport + 'd>> + 'd>;

/// How the host is reached.
pub enum Reach<'d> {
    /// Over a network, with a login.
    Remote(Dial<'d>),
    /// It is this machine.
    Here(Box<dyn Transport + 'd>),
}

/// A factory's trusted host.
pub struct HostTarget<'d> {
    pub(super) factory: Factory,
    pub(super) reach: Reach<'d>,
    /// A password for sudo that was given beforehand.
    pub(super) password: Option<Secret>,
    /// The operator's, once it is known.
    pub(super) operator_password: Option<Secret>,
    pub(super) subject: String,
    pub(super) root: Option<Root>,
    /// Whether the user that the provider gave is tried before the operator.
    pub(super) provider_first: bool,
    /// Who has to log in anew before guarded changes stay, if not the operator.
    pub(super) confirm_as: Option<String>,
    /// Seconds until guarded changes are taken back.
    pub(super) revert_after: u32,
    drill: Drill,
    pub(super) hand_over: HandOver,
    lock: String,
    pub(super) seen: Observed,
    pub(super) resources: Vec<Box<dyn Resource>>,
    pub(super) left: Left,
}

impl<'d> HostTarget<'d> {
    /// The host of this factory. `password` is for sudo, where it is known beforehand; else it is asked for when needed.
    ///
    /// # Errors
    /// `Data` when the factory has no host.
    pub fn new(factory: &Factory, reach: Reach<'d>, password: Option<Secret>) -> Result<Self> {
        let host = &factory.host;
        let subject = match host.kind {
            HostKind::Ssh => format!("ssh://{}@{}:{}", host.operator, host.address, host.port),
            HostKind::Local => "this machine".into(),
            HostKind::None => {
                return Err(Error::data("this factory has no host: `kind = \"none\"` under [host]")
                    .hint("set `kind = \"ssh\"` and an address, or `kind = \"local\"`, in factory.toml"));
            }
        };
        let mut target = Self {
            factory: factory.clone(),
            reach,
            password,
            operator_password: None,
            subject,
            root: None,
            provider_first: false,
            confirm_as: None,
            revert_after: REVERT_AFTER,
            drill: Drill::default(),
            hand_over: HandOver::default(),
            lock: String::new(),
            seen: Observed::default(),
            resources: Vec::new(),
            left: Left::default(),
        };
        target.resources = target.profile(&Observed::default())?;
        Ok(target)
    }

    /// Has the next guarded change go wrong on purpose and be taken back after so many seconds. For tests, and for an owner
    /// who wants to see it happen.
    #[must_use]
    pub fn with_drill(mut self, drill: Drill, revert_after: u32) -> Self {
        self.drill = drill;
        self.revert_after = revert_after;
        self
    }

    /// Brings to the host what the hand-off made for it.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_hand_over(mut self, hand_over: HandOver) -> Result<Self> {
        self.hand_over = hand_over;
        self.resources = self.profile(&self.seen)?;
        Ok(self)
    }

    /// Installs the programs that this `toolchain.lock` of the control repo names.
    #[must_use]
    pub fn with_lock(self, lock: String) -> Self {
        Self { lock, ..self }
    }

    /// What a hand-off that is still to come will change here, of the host that [`observe`](Target::observe) saw and beside
    /// `plan`, which it returned.
    ///
    /// # Errors
    /// As [`observe`](Target::observe).
    pub fn after(&mut self, hand_over: HandOver, plan: &Plan) -> Result<Plan> {
        let before = std::mem::replace(&mut self.hand_over, hand_over);
        let resources = self.profile(&self.seen);
        self.hand_over = before;
        let known = std::mem::replace(&mut self.resources, resources?);
        let then = self.compare();
        self.resources = known;
        let mut then = then?;
        then.changes.retain(|change| plan.changes.iter().all(|known| known.id != change.id));
        // Their texts depend on what the hand-off makes.
        then.changes.iter_mut().for_each(|change| change.diff = None);
        then.notes =
            vec!["this comes after the hand-off, which makes what it needs; one `factoryup apply` does both".into()];
        Ok(then)
    }

    /// The last line that a service wrote to the host's journal, without control characters.
    ///
    /// # Errors
    /// When the host cannot be reached.
    pub fn last_line_of(&mut self, unit: &str, dialog: &dyn Dialog) -> Result<String> {
        let mut last = String::new();
        self.root(dialog)?.run(&last_line(unit), dialog, &mut |line| {
            if let Line::Seen { section, line } = line
                && section == "journal"
            {
                last = plain(&line);
            }
        })?;
        Ok(last)
    }

    /// Whether the agent has its clone of the control repo, and which of these paths exist in its home, in the agent's own eyes.
    ///
    /// # Errors
    /// When the host cannot be reached.
    pub fn agent_has(&mut self, below: &[&str], dialog: &dyn Dialog) -> Result<(bool, Vec<bool>)> {
        let clone = profile::agent_clone(&self.factory, Token::Unknown);
        let paths: Vec<_> = below.iter().map(|below| HostPath::home(AGENT, below)).collect();
        let mut questions = Questions { paths: paths.iter().cloned().collect(), ..Questions::default() };
        clone.ask(&mut questions);
        let seen = self.root(dialog)?.observe(&questions, dialog)?;
        Ok((clone.is_on(&seen), paths.iter().map(|path| path.is_on(&seen)).collect()))
    }

    pub(super) fn profile(&self, seen: &Observed) -> Result<Vec<Box<dyn Resource>>> {
        let (new_password, hand_over) = (self.operator_password.clone(), self.hand_over.clone());
        let wishes = Wishes { factory: &self.factory, new_password, hand_over, drill: self.drill, lock: &self.lock };
        profile::resources(&wishes, seen)
    }

    /// The session, made at its first use: as the operator, or on a fresh machine as the user that the provider gave.
    pub(super) fn root(&mut self, dialog: &dyn Dialog) -> Result<&mut Root> {
        if self.root.is_none() {
            dialog.busy(&format!("connecting to {}", self.subject));
            let session = match &mut self.reach {
                Reach::Here(transport) => transport.connect()?,
                Reach::Remote(dial) => {
                    let host = &self.factory.host;
                    let mut users = vec![host.operator.clone(), host.login.clone()];
                    users.dedup();
                    if self.provider_first {
                        users.reverse();
                        dial(&Who::InOrder(&users))?.connect()?
                    } else {
                        dial(&Who::Any(&users))?.connect()?
                    }
                }
            };
            let asks = self.factory.host.sudo == Sudo::Password && session.user() == self.factory.host.operator;
            self.root = Some(Root::new(session, &self.subject, self.password.clone()).asking(asks));
        }
        self.root.as_mut().ok_or_else(|| Error::internal("no session"))
    }

    /// Asks until the answers are about the questions that follow from them: once, unless the host is unlike a plain Debian.
    fn probe(&mut self, dialog: &dyn Dialog) -> Result<()> {
        let mut questions = questions_of(&self.resources);
        let since = Instant::now();
        loop {
            let seen = self.root(dialog)?.observe(&questions, dialog)?;
            supported(&seen, &self.subject)?;
            if self.waited(&seen, since, dialog)? {
                continue;
            }
            self.resources = self.profile(&seen)?;
            self.seen = seen;
            let next = questions_of(&self.resources);
            if next.are_among(&questions) {
                return self.see_what_left(dialog);
            }
            questions = next;
        }
    }

    /// Waits for a moment when another run is at work on the host, or has left a change that is about to settle; says whether it did.
    pub(super) fn waited(&self, seen: &Observed, since: Instant, dialog: &dyn Dialog) -> Result<bool> {
        if seen.facts.contains_key("busy") && since.elapsed() < BUSY_LIMIT {
            let limit = BUSY_LIMIT.as_secs();
            dialog.busy(&format!("another run is still at work on the host; waiting up to {limit} s for it to end"));
        } else if seen.facts.get(UNSETTLED).is_some_and(|state| state == "waits") {
            if since.elapsed() > BUSY_LIMIT {
                return Err(Error::new(
                    Kind::CutShort,
                    format!(
                        "changes to sshd and the firewall of {} are neither confirmed nor taken back",
                        self.subject
                    ),
                )
                .hint("on the host, `systemctl list-timers factoryup-revert.timer` shows when they will be"));
            }
            dialog.busy("another run's change to sshd and the firewall waits to be confirmed or reverted");
        } else {
            return Ok(false);
        }
        std::thread::sleep(Duration::from_secs(3));
        Ok(true)
    }

    /// What differs, in the order of the resources.
    fn compare(&self) -> Result<Plan> {
        let mut plan = Plan::new(TargetName::Host, &self.subject);
        for resource in &self.resources {
            let verdict = resource.compare(&self.seen)?;
            plan.notes.extend(verdict.note);
            let unsettled = resource.guarded(&self.seen).is_some() && self.seen.facts.contains_key(UNSETTLED);
            let cut = self.seen.unfinished.as_deref() == Some(&resource.id());
            let change = match verdict.change {
                Some(change) => change,
                None if unsettled => {
                    let summary = format!("settle what a cut run left unconfirmed: {}", resource.id());
                    Change::new(resource.id(), Action::Run, summary).with_risk(Risk::Access)
                }
                None if cut => {
                    let summary = format!("finish what a cut run began: {}", resource.id());
                    Change::new(resource.id(), Action::Run, summary)
                }
                None => {
                    plan.unchanged += 1;
                    continue;
                }
            };
            plan.push(Change { stays: resource.stays(&self.seen), ..change });
        }
        self.plan_removals(&mut plan)?;
        plan.notes.extend(self.drift(&plan)?);
        Ok(plan)
    }

    /// The steps of all changes that need no guard, of those that do, and of those that come last.
    pub(super) fn steps(&self, plan: &Plan, show: Show) -> (Vec<Step>, Vec<Staged>, Vec<Step>) {
        let (mut steps, mut staged, mut last) = (Vec::new(), Vec::new(), Vec::new());
        for change in &plan.changes {
            let Some(resource) = self.resources.iter().find(|resource| resource.id() == change.id) else { continue };
            let step = resource.step(change, &self.seen, show);
            match resource.guarded(&self.seen) {
                None if resource.is_last() => last.push(step),
                None => steps.push(step),
                Some(part) => staged.push(Staged { step, part }),
            }
        }
        (steps, staged, last)
    }

    /// Runs one program that makes these changes. What it left is added to `left`.
    fn make(
        &mut self,
        run: &Run,
        plan: &Plan,
        steps: &[Step],
        log: &mut Log<'_>,
        left: &mut Vec<Skipped>,
    ) -> Result<()> {
        if steps.is_empty() {
            return Ok(());
        }
        let work = Work::begin(&self.subject, &run.log()).map_err(|_| log.interrupted())?;
        let mut follow = Follow::new(plan, log, run, &work);
        let (program, stop) = (apply(run, steps), stop(run));
        let root = self.root(&Silent)?;
        let result = root.run_until(&program, Some((&stop, &work)), &Silent, &mut |line| follow.take(&line));
        left.append(&mut follow.left);
        let outcome = follow.outcome(result);
        if outcome.as_ref().is_err_and(|error| error.kind() == Kind::CutShort) {
            self.root = None;
        }
        outcome
    }
}

impl Target for HostTarget<'_> {
    fn name(&self) -> TargetName {
        TargetName::Host
    }

    fn subject(&self) -> String {
        self.subject.clone()
    }

    fn observe(&mut self, watch: &dyn Watch) -> Result<Plan> {
        self.probe(watch)?;
        self.compare()
    }

    fn apply(&mut self, plan: &Plan, log: &mut Log<'_>) -> Result<()> {
        let run = Run { id: log.run().to_owned(), subject: self.subject.clone() };
        if plan.changes.iter().any(|change| change.risk == Risk::Access) {
            self.can_guard(log.watch())?;
        }
        self.choose_password(log.watch())?;
        let (steps, staged, last) = self.steps(plan, Show::Run);
        let mut left = Vec::new();
        self.make(&run, plan, &steps, log, &mut left)?;
        if !staged.is_empty() {
            self.make_guarded(&run, plan, &staged, steps.is_empty(), log)?;
        }
        self.remove_what_left(&run, plan, log)?;
        if !last.is_empty() && !staged.is_empty() {
            // A firewall that was loaded just now can drop a connection from before.
            self.root = None;
        }
        self.make(&run, plan, &last, log, &mut left)?;
        if left.is_empty() { Ok(()) } else { Err(Skipped::error(&run, &left)) }
    }

    fn prove(&mut self, watch: &dyn Watch) -> Result<Vec<Proof>> {
        self.try_all(watch)
    }
}

pub(super) fn questions_of(resources: &[Box<dyn Resource>]) -> Questions {
    let mut questions = Questions::default();
    profile::ask(&mut questions);
    for resource in resources {
        resource.ask(&mut questions);
    }
    questions
}

/// Refuses a system that the programs were not made for.
fn supported(seen: &Observed, subject: &str) -> Result<()> {
    let get = |key: &str| seen.os.get(key).map_or("", String::as_str);
    let name = plain(if get("PRETTY_NAME").is_empty() { "an unknown system" } else { get("PRETTY_NAME") });
    let version: f64 = get("VERSION_ID").parse().unwrap_or(0.0);
    let known = match get("ID") {
        "debian" => version >= 12.0,
        "ubuntu" => version >= 22.04,
        _ => false,
    };
    if !known {
        let id = plain(get("ID"));
        return Err(Error::data(format!(
            "{subject} runs {name} (ID={id}), which factoryup does not know how to provision"
        ))
        .hint("use Debian 12 or newer, or Ubuntu 22.04 or newer"));
    }
    if !seen.facts.contains_key("systemd") {
        return Err(Error::data(format!("{subject} runs {name}, but not under systemd"))
            .hint("use a machine or a system container that starts systemd as its first process"));
    }
    if !seen.complete {
        return Err(Error::internal(format!("the probe on {subject} did not come to its end")));
    }
    Ok(())
}
