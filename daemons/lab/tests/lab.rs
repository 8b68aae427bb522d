//! Labs as a user sees them, without the daemons: places, cleaning up, wrong input.
//!
//! This program is also what the lab runs (`inside`) and what the tests start as the user's command
//! (`up`, `exec`, `down`), so it has a `main` of its own. It has no `controller`: the tour fails at
//! once, and the lab stays up, which is all that is needed here. Labs with daemons are tested with
//! the `metallb` program.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Output, Stdio};
use std::time::{Duration, Instant};

use metallb_lab::{Error, LabName, Options, Request, Response, RouterKind, Status};

/// How long anything may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    let word = args.first().and_then(|word| word.to_str()).unwrap_or_default();
    let rest = args.get(1..).unwrap_or_default();
    let result = match word {
        "inside" => return ExitCode::from(metallb_lab::inside(Path::new(&rest[0]))),
        "up" => up(rest),
        "exec" => metallb_lab::exec(Some(&name(&rest[0])), rest[1].to_str().unwrap(), &rest[2..]),
        "down-all" => metallb_lab::down_all().map(|_| 0),
        "connect" => return connect(rest[0].to_str().unwrap()),
        "controller" | "speaker" => return ExitCode::from(1),
        _ => return tests(word),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("error: {}", error.report());
            ExitCode::from(error.exit_code())
        }
    }
}

fn up(args: &[OsString]) -> Result<u8, Error> {
    let router = match args[1].to_str().unwrap() {
        "bird" => RouterKind::Bird,
        "frr" => RouterKind::Frr,
        _ => RouterKind::BuiltIn,
    };
    let files = args[2..].iter().map(PathBuf::from).collect();
    let options = Options { name: name(&args[0]), files, router, nodes: 2, ..Options::default() };
    metallb_lab::up(&options, &["inside".into()])
}

fn name(text: &OsString) -> LabName {
    text.to_str().unwrap().parse().unwrap()
}

/// Connects to an address, from wherever this runs.
fn connect(to: &str) -> ExitCode {
    let to: SocketAddr = to.parse().unwrap();
    ExitCode::from(u8::from(TcpStream::connect_timeout(&to, Duration::from_secs(2)).is_err()))
}

/// A test by its name.
type Test = (&'static str, fn(&Bench));

/// Runs all tests, or those whose name contains `filter`.
fn tests(filter: &str) -> ExitCode {
    let all: &[Test] = &[
        ("places_reach_each_other_and_the_api", places_reach_each_other_and_the_api),
        (
            "every_router_puts_the_paths_of_two_nodes_into_its_kernel",
            every_router_puts_the_paths_of_two_nodes_into_its_kernel,
        ),
        (
            "a_cut_node_is_unreachable_until_its_cable_is_back",
            a_cut_node_is_unreachable_until_its_cable_is_back,
        ),
        ("down_leaves_nothing", down_leaves_nothing),
        ("an_interrupted_start_leaves_nothing", an_interrupted_start_leaves_nothing),
        ("a_killed_starter_takes_everything_along", a_killed_starter_takes_everything_along),
        ("after_both_processes_are_killed_down_all_removes_the_rest", after_both_are_killed),
        ("a_second_lab_of_the_same_name_says_why_not", a_second_lab_of_the_same_name_says_why_not),
        ("two_labs_with_different_names_work", two_labs_with_different_names_work),
        ("what_a_crashed_lab_left_does_not_stop_the_next", what_a_crashed_lab_left_does_not_stop_the_next),
        ("wrong_files_are_refused_and_nothing_starts", wrong_files_are_refused_and_nothing_starts),
        ("what_the_lab_writes_is_for_its_user_only", what_the_lab_writes_is_for_its_user_only),
        ("a_base_that_others_may_write_to_is_refused", a_base_that_others_may_write_to_is_refused),
        ("without_namespaces_the_switch_is_named", without_namespaces_the_switch_is_named),
    ];
    if filter.starts_with("--list") {
        for (name, _) in all {
            println!("{name}: test");
        }
        return ExitCode::SUCCESS;
    }
    let filter = if filter.starts_with('-') { "" } else { filter };
    let mut failed = 0;
    for user in users() {
        for (name, test) in all.iter().filter(|(name, _)| name.contains(filter)) {
            let bench = Bench::new(user);
            if let Err(why) = bench.namespaces() {
                println!("test {name} ({user:?}) ... skipped: {why}");
                assert!(std::env::var_os("METALLB_REQUIRE_INTEROP").is_none(), "namespaces are required");
                continue;
            }
            let passed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| test(&bench))).is_ok();
            println!("test {name} ({user:?}) ... {}", if passed { "ok" } else { "FAILED" });
            failed += i32::from(!passed);
        }
    }
    ExitCode::from(u8::from(failed > 0))
}

/// As whom the labs are started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum User {
    /// Whoever runs the tests.
    Oneself,
    /// The user nobody, when the tests run as root.
    Nobody,
}

fn users() -> Vec<User> {
    let root = nix::unistd::geteuid().is_root();
    if root { vec![User::Oneself, User::Nobody] } else { vec![User::Oneself] }
}

const NOBODY: u32 = 65534;

/// A directory for labs, and the commands on them. Ends every lab when it goes.
struct Bench {
    user: User,
    directory: tempfile::TempDir,
    program: PathBuf,
}

impl Bench {
    fn new(user: User) -> Self {
        let directory = tempfile::tempdir().unwrap();
        // Other users may not read where the program is built.
        let program = directory.path().join("lab");
        // By another process: what is open for writing here could not be run while another test starts something.
        let copied = Command::new("cp").arg(std::env::current_exe().unwrap()).arg(&program).status().unwrap();
        assert!(copied.success(), "cp: {copied}");
        if user == User::Nobody {
            std::os::unix::fs::chown(directory.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        Self { user, directory, program }
    }

    fn labs(&self) -> PathBuf {
        self.directory.path().join("labs")
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(args).env("METALLB_LAB_DIR", self.labs());
        if self.user == User::Nobody {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    fn namespaces(&self) -> Result<(), String> {
        let output = self.run(&["up", "probe", "builtin", "/nonexistent"]);
        assert_eq!(output.status.code(), Some(2));
        let mut lab = self.start("probe", "builtin");
        let up = lab.wait_up(self);
        lab.end(self);
        up
    }

    fn start(&self, name: &str, router: &str) -> Lab {
        let mut child = self
            .command(&["up", name, router])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Lab { name: name.to_owned(), child, output }
    }

    fn connects(&self, lab: &str, place: &str, to: &str) -> bool {
        let program = self.program.display().to_string();
        self.run(&["exec", lab, place, &program, "connect", to]).status.success()
    }

    /// The process inside the namespaces, if it still lives.
    fn inside(&self, lab: &str) -> Option<i32> {
        let text = std::fs::read(self.labs().join(lab).join("inside.json")).ok()?;
        let value: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let pid = value["pid"].as_i64().unwrap().try_into().unwrap();
        alive(pid).then_some(pid)
    }

    fn ask(&self, lab: &str, request: &Request) -> Response {
        use std::io::Write;
        let socket = self.labs().join(lab).join("control.sock");
        let mut stream = std::os::unix::net::UnixStream::connect(socket).unwrap();
        writeln!(stream, "{}", serde_json::to_string(request).unwrap()).unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let ended = self.run(&["down-all"]);
        if !ended.status.success() {
            eprintln!("{}", String::from_utf8_lossy(&ended.stderr));
        }
    }
}

/// A lab that was started by this test.
struct Lab {
    name: String,
    child: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Lab {
    /// Reads what the lab prints until it stays up.
    fn wait_up(&mut self, bench: &Bench) -> Result<(), String> {
        let mut line = String::new();
        while self.output.read_line(&mut line).unwrap() > 0 {
            if line.contains("The lab stays up") {
                assert!(bench.inside(&self.name).is_some());
                return Ok(());
            }
            line.clear();
        }
        let mut errors = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
        Err(errors)
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn end(&mut self, bench: &Bench) {
        if bench.labs().join(&self.name).join("control.sock").exists() {
            bench.ask(&self.name, &Request::Down);
        }
        self.child.wait().unwrap();
    }
}

fn mk_lab(bench: &Bench, name: &str) -> Lab {
    mk_lab_with(bench, name, "builtin")
}

fn mk_lab_with(bench: &Bench, name: &str, router: &str) -> Lab {
    let mut lab = bench.start(name, router);
    if let Err(why) = lab.wait_up(bench) {
        panic!("{why}");
    }
    lab
}

fn alive(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + LIMIT;
    while !holds() {
        assert!(Instant::now() < end, "not within {LIMIT:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn places_reach_each_other_and_the_api(bench: &Bench) {
    let mut lab = mk_lab(bench, "one");
    // The router listens for BGP in both families; the API server listens on every node.
    assert!(bench.connects("one", "client", "192.0.2.1:179"));
    assert!(bench.connects("one", "node2", "[2001:db8:1ab::1]:179"));
    assert!(bench.connects("one", "node1", "127.0.0.1:6443"));
    assert!(bench.connects("one", "segment", "127.0.0.1:6443"));
    assert!(!bench.connects("one", "client", "127.0.0.1:6443"));
    let unknown = bench.run(&["exec", "one", "node9", "true"]);
    assert_eq!(unknown.status.code(), Some(2));
    let text = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(text.contains("client, node1, node2, router, segment"), "{text}");
    let Response::Status(status) = bench.ask("one", &Request::Status) else { panic!("no status") };
    assert!(TcpStream::connect(status.api.strip_prefix("http://").unwrap()).is_ok());
    assert_eq!(status.nodes.len(), 2);
    lab.end(bench);
}

fn a_cut_node_is_unreachable_until_its_cable_is_back(bench: &Bench) {
    let mut lab = mk_lab(bench, "one");
    let cut = Request::Cut { node: "node1".into() };
    assert_eq!(bench.ask("one", &cut), Response::Done);
    assert!(!bench.connects("one", "node1", "192.0.2.1:179"));
    assert!(bench.connects("one", "node2", "192.0.2.1:179"));
    // There is no speaker to start here, which the lab says; the cable is in all the same.
    let heal = bench.ask("one", &Request::Heal { node: "node1".into() });
    assert!(matches!(heal, Response::Refused { .. }), "{heal:?}");
    eventually("the cable is back", || bench.connects("one", "node1", "192.0.2.1:179"));
    let wrong = bench.ask("one", &Request::Cut { node: "node9".into() });
    assert!(matches!(&wrong, Response::Refused { reason } if reason.contains("node1, node2")), "{wrong:?}");
    lab.end(bench);
}

fn what_the_lab_writes_is_for_its_user_only(bench: &Bench) {
    use std::os::unix::fs::MetadataExt;
    let mut lab = mk_lab(bench, "one");
    let mut directories = vec![bench.labs().join("one")];
    let mut files = 0;
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(&directory).unwrap() {
            let entry = entry.unwrap();
            let mode = entry.metadata().unwrap().mode() & 0o777;
            if entry.file_type().unwrap().is_dir() {
                assert_eq!(mode & 0o066, 0, "{}: {mode:o}", entry.path().display());
                directories.push(entry.path());
            } else {
                assert_eq!(mode & 0o077, 0, "{}: {mode:o}", entry.path().display());
                files += 1;
            }
        }
    }
    assert!(files > 2, "logs, kubeconfigs and a socket");
    lab.end(bench);
}

fn a_base_that_others_may_write_to_is_refused(bench: &Bench) {
    use std::os::unix::fs::PermissionsExt;
    // Made by the user himself, by a lab that was here before.
    mk_lab(bench, "one").end(bench);
    for mode in [0o777, 0o775, 0o1733] {
        std::fs::set_permissions(bench.labs(), PermissionsExt::from_mode(mode)).unwrap();
        let refused = bench.start("one", "builtin").child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success(), "{mode:o}");
        assert!(said.contains("others may write to") && said.contains("chmod go-w"), "{mode:o}: {said}");
    }
    std::fs::set_permissions(bench.labs(), PermissionsExt::from_mode(0o755)).unwrap();
    mk_lab(bench, "one").end(bench);
}

fn down_leaves_nothing(bench: &Bench) {
    let mut lab = mk_lab(bench, "one");
    let inside = bench.inside("one").unwrap();
    assert!(bench.run(&["down-all"]).status.success());
    lab.child.wait().unwrap();
    assert!(!alive(inside));
    assert!(!bench.labs().exists());
}

fn a_killed_starter_takes_everything_along(bench: &Bench) {
    let mut lab = mk_lab(bench, "one");
    let inside = bench.inside("one").unwrap();
    lab.kill();
    eventually("the lab ended", || !alive(inside));
    eventually("its files are gone", || !bench.labs().join("one").exists());
}

/// A signal at any moment of the start, to the starter alone, ends all of it.
fn an_interrupted_start_leaves_nothing(bench: &Bench) {
    use nix::sys::signal::{Signal, kill};
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGKILL] {
        for wait in [20, 60, 120, 250] {
            let mut lab = bench.start("one", "builtin");
            // The moment is what is tested here, so there is no condition to wait for.
            std::thread::sleep(Duration::from_millis(wait));
            let inside = bench.inside("one");
            let starter = nix::unistd::Pid::from_raw(lab.child.id().cast_signed());
            kill(starter, signal).unwrap();
            lab.child.wait().unwrap();
            eventually("the lab ended", || bench.inside("one").is_none() && !inside.is_some_and(alive));
            assert!(bench.run(&["down-all"]).status.success());
            assert!(!bench.labs().exists(), "{signal} after {wait} ms");
        }
    }
}

fn after_both_are_killed(bench: &Bench) {
    let mut lab = mk_lab(bench, "one");
    let inside = bench.inside("one").unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(inside), nix::sys::signal::Signal::SIGKILL).unwrap();
    lab.kill();
    eventually("the lab ended", || !alive(inside));
    assert!(bench.run(&["down-all"]).status.success());
    assert!(!bench.labs().exists());
}

fn a_second_lab_of_the_same_name_says_why_not(bench: &Bench) {
    let mut lab = mk_lab(bench, "one");
    let second = bench.run(&["up", "one", "builtin"]);
    assert_eq!(second.status.code(), Some(2));
    let text = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(text.contains("already running") && text.contains("--name"), "{text}");
    assert!(bench.connects("one", "client", "192.0.2.1:179"));
    lab.end(bench);
}

fn two_labs_with_different_names_work(bench: &Bench) {
    let (mut one, mut two) = (mk_lab(bench, "one"), mk_lab(bench, "two"));
    for lab in ["one", "two"] {
        assert!(bench.connects(lab, "client", "192.0.2.1:179"));
    }
    one.end(bench);
    assert!(bench.connects("two", "client", "192.0.2.1:179"));
    two.end(bench);
}

fn what_a_crashed_lab_left_does_not_stop_the_next(bench: &Bench) {
    let mut lab = mk_lab(bench, "one");
    let inside = bench.inside("one").unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(inside), nix::sys::signal::Signal::SIGKILL).unwrap();
    lab.kill();
    eventually("the lab ended", || !alive(inside));
    mk_lab(bench, "one").end(bench);
}

fn wrong_files_are_refused_and_nothing_starts(bench: &Bench) {
    let file = bench.directory.path().join("wrong.yaml");
    std::fs::write(&file, "apiVersion: metallb.io/v1beta1\nkind: IPAddressPool\nmetadata: {name: x}\nspec: {addresses: [10.0.0.0/33]}\n---\nkind: [\n").unwrap();
    let output = bench.run(&["up", "one", "builtin", &file.display().to_string()]);
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("wrong.yaml:6: document 2"), "{text}");
    assert!(!bench.labs().join("one").exists());
}

/// A process whose limit of namespaces is zero is like a machine that forbids them.
fn without_namespaces_the_switch_is_named(bench: &Bench) {
    let program = bench.program.display();
    let script = format!("echo 0 > /proc/sys/user/max_net_namespaces && exec {program} up one builtin");
    let mut command = Command::new("unshare");
    command.args(["-Ur", "sh", "-c", &script]).env("METALLB_LAB_DIR", bench.labs());
    if bench.user == User::Nobody {
        command.uid(NOBODY).gid(NOBODY);
    }
    let Ok(output) = command.output() else {
        return println!("    (no unshare program here)");
    };
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("user.max_net_namespaces") && text.contains("sudo"), "{text}");
    assert!(!bench.labs().join("one").exists());
}

/// The nodes speak with BIRD here; the router is each kind that is installed.
fn every_router_puts_the_paths_of_two_nodes_into_its_kernel(bench: &Bench) {
    let bird = Path::new("/usr/sbin/bird");
    if !bird.exists() {
        assert!(std::env::var_os("METALLB_REQUIRE_INTEROP").is_none(), "BIRD is required");
        return println!("    (no BIRD here to play the nodes)");
    }
    let frr = bench.user == User::Oneself && Path::new("/usr/lib/frr/bgpd").exists();
    for router in ["builtin", "bird", "frr"].into_iter().filter(|router| *router != "frr" || frr) {
        let mut lab = mk_lab_with(bench, "one", router);
        let nodes: Vec<Child> = (1..=2).map(|node| mk_speaking_node(bench, node)).collect();
        let mut last = None;
        let paths = |status: &Status, prefix: &str| status.router.kernel.get(prefix).map_or(0, Vec::len);
        eventually(&format!("{router} has two paths of both families"), || {
            let Response::Status(status) = bench.ask("one", &Request::Status) else { panic!("no status") };
            let both = paths(&status, "198.51.100.1/32") == 2 && paths(&status, "2001:db8:2ab::1/128") == 2;
            last = Some(status);
            both
        });
        let received = &last.as_ref().unwrap().router.received;
        let communities = |hop: &str| {
            let route = received.iter().find(|route| route.next_hop.to_string() == hop);
            route.map(|route| route.communities.clone()).unwrap_or_default()
        };
        assert_eq!(communities("192.0.2.11"), ["64512:100"], "{router}: {received:?}");
        let up =
            last.as_ref().unwrap().router.sessions.iter().filter(|session| session.state == "Established");
        assert_eq!(up.map(|session| session.prefixes).sum::<u64>(), 4, "{router}");
        // The end of the lab is the end of what runs in it.
        lab.end(bench);
        for mut node in nodes {
            node.wait().unwrap();
        }
    }
}

fn mk_speaking_node(bench: &Bench, node: u8) -> Child {
    let config = bench.directory.path().join(format!("node{node}.conf"));
    let session = |family: &str, local: &str, router: &str| {
        format!(
            "protocol bgp r{family} {{ local {local} as 64512; neighbor {router} as 64513; connect delay time 1; \
             ip{family} {{ import none; export all; next hop self; }}; }}\n"
        )
    };
    let text = format!(
        "router id 192.0.2.1{node};\nprotocol device {{ }}\n\
         protocol static s4 {{ ipv4; route 198.51.100.1/32 blackhole {{ bgp_community.add((64512,100)); }}; }}\n\
         protocol static s6 {{ ipv6; route 2001:db8:2ab::1/128 blackhole; }}\n{}{}",
        session("v4", &format!("192.0.2.1{node}"), "192.0.2.1"),
        session("v6", &format!("2001:db8:1ab::1{node}"), "2001:db8:1ab::1"),
    );
    std::fs::write(&config, text).unwrap();
    let socket = bench.directory.path().join(format!("node{node}.ctl"));
    let (config, socket) = (config.display().to_string(), socket.display().to_string());
    bench
        .command(&[
            "exec",
            "one",
            &format!("node{node}"),
            "/usr/sbin/bird",
            "-f",
            "-c",
            &config,
            "-s",
            &socket,
        ])
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}
