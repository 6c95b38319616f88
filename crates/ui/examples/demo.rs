//! Serves the demo site alone, to look at: `cargo run -p seawall-ui --example demo [ADDRESS]`.

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:3000".into());
    let listener = std::net::TcpListener::bind(address)?;
    println!("http://{}/", listener.local_addr()?);
    seawall_ui::demo::serve(listener, async { drop(tokio::signal::ctrl_c().await) }).await
}
