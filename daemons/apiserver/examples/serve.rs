//! Serves the embedded API server until interrupted, and prints a kubeconfig for `kubectl`.
//!
//! `cargo run -p metallb-apiserver --example serve -- [--allow-remote] [ADDRESS] [FILE.yaml...]`
//!
//! `--allow-remote` is for addresses other than loopback: whoever reaches one may do everything.

use metallb_apiserver::Server;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1).peekable();
    let remote = arguments.next_if_eq("--allow-remote").is_some();
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let server = Server::builder().allow_remote(remote).build()?;
    for file in arguments {
        for object in server.apply(&std::fs::read_to_string(&file)?)? {
            eprintln!("applied {} {}", object.kind, object.name);
        }
    }
    let address = server.serve(std::net::TcpListener::bind(address)?)?;
    println!("{}", server.kubeconfig(&format!("http://{address}")));
    tokio::signal::ctrl_c().await?;
    server.shutdown().await;
    Ok(())
}
