//! The lab itself, inside its namespaces: all places, the API server, the daemons.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use metallb_apiserver::Server;
use nix::sys::signal::Signal;
use serde_json::Value;
use tokio::sync::Mutex;

use crate::api;
use crate::control::{SpeakerPath, SpeakerSession};
use crate::error::Error;
use crate::files::{self, Loaded};
use crate::http;
use crate::net::sysctl::{self, Kind};
use crate::net::{Room, links, routes};
use crate::options::Options;
use crate::process::{Child, Program};
use crate::router::Router;
use crate::scenario::{Place, SYSTEM_NAMESPACE, objects};
use crate::standin::{self, Host};
use crate::state::StateDir;
use crate::wait;

/// Port of the API server inside the lab.
const API_PORT: u16 = 6443;
/// Port of the daemons' probes.
const PROBE_PORT: u16 = 17472;
/// Port at which a speaker tells its state, on its node's loopback.
const STATE_PORT: u16 = 6060;
/// How long a daemon may take to become ready.
pub(crate) const READY_LIMIT: Duration = Duration::from_secs(30);
/// How long a speaker that was asked to end may take.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// A node: its place, its speaker, its link.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) host: Host,
    state: Mutex<NodeState>,
}

#[derive(Debug)]
struct NodeState {
    speaker: Option<Child>,
    link_up: bool,
}

/// Everything that is up.
pub(crate) struct Lab {
    pub(crate) options: Options,
    pub(crate) dir: StateDir,
    pub(crate) loaded: Loaded,
    pub(crate) server: Server,
    pub(crate) api: Client,
    pub(crate) api_url: String,
    pub(crate) segment: Arc<Room>,
    pub(crate) client: Arc<Room>,
    pub(crate) router_room: Arc<Room>,
    pub(crate) nodes: BTreeMap<String, Node>,
    pub(crate) router: Router,
    controller: Mutex<Option<Child>>,
    program: PathBuf,
}

impl Lab {
    /// Makes all places and the API server and starts the router; no daemon yet.
    pub(crate) async fn build(options: Options, dir: StateDir, host: TcpListener) -> Result<Self, Error> {
        let loaded = files::load(&options)?;
        let server = api::server()?;
        let api = Client::new(server.service(), "default");
        let segment = Arc::new(Room::own("segment").await?);
        sysctl::set(&segment, Kind::Segment).await?;
        links::set_up(&segment, "lo", true).await?;
        let bridge = links::add_bridge(&segment, "segment").await?;
        // As in a cluster, the API server reaches pods over the nodes' network.
        for (address, length) in Place::api_server().addresses() {
            links::add_address(&segment, "segment", address, length).await?;
        }
        let client = place(&segment, bridge, &Place::client(), Kind::Client).await?;
        let router_room = place(&segment, bridge, &Place::router(), Kind::Router).await?;
        for (gateway, _) in Place::router().addresses() {
            routes::add_default(&client, gateway).await?;
        }
        let mut nodes = BTreeMap::new();
        for number in 1..=options.nodes {
            let place_of = Place::node(number);
            let room = place(&segment, bridge, &place_of, Kind::Node).await?;
            let state = Mutex::new(NodeState { speaker: None, link_up: true });
            let host = Host { place: place_of.clone(), room };
            nodes.insert(place_of.name, Node { host, state });
        }
        let api_url = serve(&server, host)?;
        serve_inside(&server, &segment).await?;
        for node in nodes.values() {
            serve_inside(&server, &node.host.room).await?;
        }
        let inner = server.kubeconfig(&format!("http://127.0.0.1:{API_PORT}"));
        StateDir::write(&dir.inner_kubeconfig(), inner.as_bytes())?;
        StateDir::write(&dir.kubeconfig(), server.kubeconfig(&api_url).as_bytes())?;
        let router = Router::start(&options, &router_room, &dir).await?;
        let program = std::env::current_exe().map_err(Error::io("finding this program"))?;
        let controller = Mutex::new(None);
        Ok(Self {
            options,
            dir,
            loaded,
            server,
            api,
            api_url,
            segment,
            client,
            router_room,
            nodes,
            router,
            controller,
            program,
        })
    }

    /// Writes the cluster's own objects and starts the stand-ins.
    pub(crate) fn populate(&self) -> Result<(), Error> {
        api::put(&self.server, &objects::namespace(SYSTEM_NAMESPACE))?;
        api::put(&self.server, &objects::controller_deployment())?;
        api::put(&self.server, &objects::speaker_daemon_set())?;
        for node in self.nodes.values() {
            api::put(&self.server, &objects::node(&node.host.place))?;
            api::put(&self.server, &objects::speaker_pod(&node.host.place, false))?;
        }
        let hosts = self.nodes.values().map(|node| node.host.clone()).collect();
        tokio::spawn(standin::run(self.api.clone(), hosts));
        Ok(())
    }

    /// Starts the controller and waits until it is ready and has made the speakers' key.
    pub(crate) async fn start_controller(&self) -> Result<(), Error> {
        let program = self.daemon("controller", "controller").args([
            "--ml-secret-name",
            objects::MEMBERLIST_SECRET,
            "--deployment",
            objects::CONTROLLER,
            // Nobody would call them: the lab's API server has no webhook configuration.
            "--webhook-mode=disabled",
        ]);
        let child = Child::start(&self.segment, program).await?;
        let ready = self.ready(&self.segment, &child, "controller").await;
        *self.controller.lock().await = Some(child);
        ready?;
        api::put(&self.server, &objects::controller_pod(&Place::api_server()))?;
        self.mount_secret().await
    }

    /// Starts the speaker of every node and waits until all are ready.
    pub(crate) async fn start_speakers(&self) -> Result<(), Error> {
        let starts = self.nodes.values().map(|node| self.start_speaker(node));
        futures::future::try_join_all(starts).await.map(drop)
    }

    /// Starts a node's speaker and waits until it is ready. Does nothing when it runs.
    pub(crate) async fn start_speaker(&self, node: &Node) -> Result<(), Error> {
        let mut state = node.state.lock().await;
        if state.speaker.as_ref().is_some_and(|speaker| speaker.ended().is_none()) {
            return Ok(());
        }
        let place = &node.host.place;
        let secret = self.dir.path().join("memberlist");
        let name = format!("speaker-{}", place.name);
        let address = place.v4.to_string();
        let program = self
            .daemon("speaker", &name)
            .args(["--node-name", &place.name, "--pod-name", &objects::speaker_pod_name(&place.name)])
            .args(["--host", &address, "--ml-bindaddr", &address])
            .args(["--ml-labels", objects::SPEAKER_LABELS])
            .args(["--pprof-bind-address", &format!("127.0.0.1:{STATE_PORT}")])
            .arg("--ml-secret-key-path")
            .arg(secret)
            .env("METALLB_NODE_NAME", &place.name)
            .env("METALLB_POD_NAME", objects::speaker_pod_name(&place.name));
        let child = Child::start(&node.host.room, program).await?;
        let ready = self.ready(&node.host.room, &child, &name).await;
        state.speaker = Some(child);
        ready?;
        api::put(&self.server, &objects::speaker_pod(place, true)).map(drop)
    }

    /// Asks a node's speaker to end, as a rolling update would, and waits for it. The pod is not
    /// ready any more before the signal is sent.
    pub(crate) async fn stop_speaker(&self, node: &Node) -> Result<(), Error> {
        let state = node.state.lock().await;
        if let Some(speaker) = &state.speaker {
            speaker.signal(Signal::SIGTERM)?;
            speaker.wait(STOP_LIMIT).await?;
        }
        api::put(&self.server, &objects::speaker_pod(&node.host.place, false)).map(drop)
    }

    /// A node loses its power: link and speaker are gone at the same moment; nothing can say goodbye.
    pub(crate) async fn kill(&self, node: &Node) -> Result<(), Error> {
        self.set_link(node, false).await?;
        let state = node.state.lock().await;
        if let Some(speaker) = &state.speaker {
            speaker.signal(Signal::SIGKILL)?;
            speaker.wait(STOP_LIMIT).await?;
        }
        Ok(())
    }

    /// A node's cable is pulled; everything on it runs on.
    pub(crate) async fn cut(&self, node: &Node) -> Result<(), Error> {
        self.set_link(node, false).await
    }

    /// Cable in, speaker running.
    pub(crate) async fn heal(&self, node: &Node) -> Result<(), Error> {
        self.set_link(node, true).await?;
        self.start_speaker(node).await
    }

    /// The node of this name.
    pub(crate) fn node(&self, name: &str) -> Result<&Node, Error> {
        self.nodes.get(name).ok_or_else(|| Error::NoSuchPlace {
            given: name.to_owned(),
            known: self.nodes.keys().cloned().collect(),
        })
    }

    /// Ends controller and speakers at once, before the API server goes: they would only complain.
    pub(crate) async fn end(&self) {
        let mut children = Vec::new();
        if let Ok(mut controller) = self.controller.try_lock() {
            children.extend(controller.take());
        }
        for node in self.nodes.values() {
            // A node that is being changed at this moment ends with everything else.
            if let Ok(mut state) = node.state.try_lock() {
                children.extend(state.speaker.take());
            }
        }
        for child in &children {
            if let Err(error) = child.signal(Signal::SIGKILL) {
                tracing::warn!(error = %error.report(), "ending");
            }
        }
        for child in &children {
            if let Err(error) = child.wait(STOP_LIMIT).await {
                tracing::warn!(error = %error.report(), "ending");
            }
        }
    }

    /// A speaker's BGP sessions, as it tells them; none when it does not answer.
    pub(crate) async fn speaker_sessions(&self, node: &Node) -> Result<Vec<SpeakerSession>, Error> {
        let at = (Ipv4Addr::LOCALHOST, STATE_PORT).into();
        let asked = node.host.room.run(http::get(at, "/debug/state", Duration::from_secs(2))).await?;
        let Ok(answer) = asked else { return Ok(Vec::new()) };
        let state: Value = serde_json::from_str(&answer.body).unwrap_or_default();
        let part = |pointer: &str| state.pointer(pointer).cloned().unwrap_or_default();
        let mut sessions: Vec<SpeakerSession> = serde_json::from_value(part("/sessions")).unwrap_or_default();
        let paths: Vec<SpeakerPath> = serde_json::from_value(part("/bfd/sessions")).unwrap_or_default();
        for session in &mut sessions {
            session.bfd = paths.iter().find(|path| path.peer == session.peer).cloned();
        }
        Ok(sessions)
    }

    /// The last lines of the daemons' logs, each with the name of the file.
    pub(crate) fn log_tails(&self, lines: usize) -> Vec<String> {
        let daemons = self.nodes.keys().map(|node| format!("speaker-{node}"));
        let mut tails = Vec::new();
        for name in ["controller".to_owned(), "router".to_owned()].into_iter().chain(daemons) {
            // A daemon that was not started has no log.
            let text = std::fs::read_to_string(self.dir.log(&name)).unwrap_or_default();
            let all: Vec<&str> = text.lines().collect();
            let last = all.get(all.len().saturating_sub(lines)..).unwrap_or_default();
            tails.extend(last.iter().map(|line| format!("{name}: {line}")));
        }
        tails
    }

    /// In words: what the controller's process does.
    pub(crate) async fn controller_state(&self) -> String {
        let controller = self.controller.lock().await;
        controller.as_ref().map_or_else(|| "not started".to_owned(), Child::state)
    }

    fn daemon(&self, kind: &str, name: &str) -> Program {
        let config = self.dir.inner_kubeconfig();
        Program::new(name, &self.program, self.dir.log(name))
            .arg(kind)
            .args(["--namespace", SYSTEM_NAMESPACE, "--log-level", &self.options.log_level])
            .env("KUBECONFIG", config)
            .env("METALLB_NAMESPACE", SYSTEM_NAMESPACE)
    }

    async fn set_link(&self, node: &Node, up: bool) -> Result<(), Error> {
        let mut state = node.state.lock().await;
        links::set_up(&self.segment, &links::port(&node.host.place.name), up).await?;
        state.link_up = up;
        Ok(())
    }

    async fn ready(&self, room: &Arc<Room>, child: &Child, name: &str) -> Result<(), Error> {
        let probe = (Ipv4Addr::LOCALHOST, PROBE_PORT).into();
        let hint = format!("see {}", self.dir.log(name).display());
        wait::until(READY_LIMIT, &format!("{name} becoming ready"), &hint, || async {
            if child.ended().is_some() {
                return Err(Error::Ended {
                    process: name.to_owned(),
                    state: child.state(),
                    hint: hint.clone(),
                });
            }
            let asked = room.run(http::get(probe, "/readyz", Duration::from_secs(1))).await?;
            Ok(asked.is_ok_and(|answer| answer.status.is_success()).then_some(()))
        })
        .await
    }

    /// In place of a kubelet: writes the Secret that the controller makes to the files that the
    /// speakers read.
    async fn mount_secret(&self) -> Result<(), Error> {
        let secrets: Api<Secret> = Api::namespaced(self.api.clone(), SYSTEM_NAMESPACE);
        let name = objects::MEMBERLIST_SECRET;
        let hint = format!("see {}", self.dir.log("controller").display());
        let secret =
            wait::until(READY_LIMIT, "the controller making the Secret memberlist", &hint, || async {
                secrets.get_opt(name).await.map_err(Error::api("reading the Secret memberlist"))
            })
            .await?;
        let mount = self.dir.path().join("memberlist");
        std::fs::create_dir_all(&mount).map_err(Error::io(format!("making {}", mount.display())))?;
        for (file, ByteString(content)) in secret.data.unwrap_or_default() {
            // A key of a Secret has no slash; the API refuses one that has.
            StateDir::write(&mount.join(file), &content)?;
        }
        Ok(())
    }
}

impl Node {
    /// In words: what the speaker's process does.
    pub(crate) async fn speaker_state(&self) -> String {
        let state = self.state.lock().await;
        state.speaker.as_ref().map_or_else(|| "not started".to_owned(), Child::state)
    }

    /// Whether the node's cable is in.
    pub(crate) async fn link_up(&self) -> bool {
        self.state.lock().await.link_up
    }
}

/// Makes a place and connects it to the segment.
async fn place(segment: &Room, bridge: u32, place: &Place, kind: Kind) -> Result<Arc<Room>, Error> {
    let room = Room::create(&place.name).await?;
    sysctl::set(&room, kind).await?;
    links::plug(segment, bridge, &room, place.mac).await?;
    for (address, length) in place.addresses() {
        links::add_address(&room, "eth0", address, length).await?;
    }
    Ok(Arc::new(room))
}

fn serve(server: &Server, listener: TcpListener) -> Result<String, Error> {
    let address = server
        .serve(listener)
        .map_err(|error| Error::Server { doing: "serving the API".to_owned(), reason: error.to_string() })?;
    Ok(format!("http://{address}"))
}

async fn serve_inside(server: &Server, room: &Room) -> Result<(), Error> {
    let doing = format!("listening for the API in {}", room.name());
    let listener = room
        .run(async { TcpListener::bind((Ipv4Addr::LOCALHOST, API_PORT)) })
        .await?
        .map_err(Error::io(doing))?;
    serve(server, listener).map(drop)
}

/// The listener on the host, which the starter made and gave us as standard input.
pub(crate) fn inherited_listener() -> Result<TcpListener, Error> {
    let input = std::io::stdin();
    let socket = input.as_fd().try_clone_to_owned().map_err(Error::io("taking the host's listener"))?;
    Ok(TcpListener::from(socket))
}
