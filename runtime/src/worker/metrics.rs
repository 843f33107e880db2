//! Numbers for Prometheus, on a port of the loopback interface if the operator names one.

use crate::artifacts::debusine::Server;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

type Labels = Vec<(&'static str, String)>;

/// How long a scrape may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is counted.
pub struct Metrics {
    registry: Registry,
    work_requests: Family<Labels, Counter>,
    stages: Family<Labels, Histogram>,
    deliveries: Histogram,
    images: Family<Labels, Counter>,
    image_bytes: Family<Labels, Counter>,
    connected: Gauge,
    connections: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Nothing has happened yet.
    pub fn new() -> Self {
        let seconds = || Histogram::new(exponential_buckets(0.01, 4.0, 10));
        let mut metrics = Self {
            registry: Registry::with_prefix("task_runtime"),
            work_requests: Family::default(),
            stages: Family::new_with_constructor(seconds),
            deliveries: seconds(),
            images: Family::default(),
            image_bytes: Family::default(),
            connected: Gauge::default(),
            connections: Counter::default(),
        };
        let registry = &mut metrics.registry;
        registry.register(
            "work_requests",
            "Work requests that were delivered, by task and result",
            metrics.work_requests.clone(),
        );
        registry.register(
            "stage_seconds",
            "How long the stages of tasks took",
            metrics.stages.clone(),
        );
        registry.register(
            "delivery_seconds",
            "How long it took until the server had a result with all its artifacts",
            metrics.deliveries.clone(),
        );
        registry.register(
            "images",
            "Images of environments that tasks asked for, by whether the cache had them",
            metrics.images.clone(),
        );
        registry.register(
            "image_bytes",
            "The same in bytes of their files: hits were not fetched",
            metrics.image_bytes.clone(),
        );
        registry.register(
            "connected",
            "Whether the server listens to this worker",
            metrics.connected.clone(),
        );
        registry.register(
            "connections",
            "How often the server began to listen to this worker",
            metrics.connections.clone(),
        );
        metrics
    }

    /// Adds how many bytes have gone to a server and come from it.
    pub fn with_traffic(mut self, server: &Server) -> Self {
        let traffic = server.traffic();
        self.registry
            .register_collector(Box::new(TrafficCollector(traffic)));
        self
    }

    pub(super) fn connected(&self, connected: bool) {
        self.connected.set(connected.into());
        if connected {
            self.connections.inc();
        }
    }

    pub(super) fn stage(&self, stage: &str, took: Duration) {
        let labels = vec![("stage", stage.to_owned())];
        let histogram = self.stages.get_or_create(&labels);
        histogram.observe(took.as_secs_f64());
    }

    pub(super) fn delivery(&self, took: Duration) {
        self.deliveries.observe(took.as_secs_f64());
    }

    pub(super) fn image(&self, cached: bool, size: u64) {
        let outcome = if cached { "hit" } else { "miss" };
        let labels = vec![("cache", outcome.to_owned())];
        self.images.get_or_create(&labels).inc();
        self.image_bytes.get_or_create(&labels).inc_by(size);
    }

    pub(super) fn work_request(&self, task: &str, result: &str) {
        let labels = vec![("task", task.to_owned()), ("result", result.to_owned())];
        self.work_requests.get_or_create(&labels).inc();
    }

    /// Answers scrapes for ever.
    pub async fn serve(self: Arc<Self>, port: u16) -> io::Result<()> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        tracing::info!("metrics on http://{}/metrics", listener.local_addr()?);
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            };
            match timeout(PATIENCE, self.answer(stream)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!("metrics: {error}"),
                Err(_) => tracing::debug!("metrics: a scrape took too long"),
            }
        }
    }

    /// Whatever is asked, these numbers are the answer.
    async fn answer(&self, mut stream: TcpStream) -> io::Result<()> {
        let mut request = [0; 4096];
        let _ = stream.read(&mut request).await?;
        let mut text = String::new();
        encode(&mut text, &self.registry).map_err(io::Error::other)?;
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            text.len()
        );
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(text.as_bytes()).await?;
        stream.shutdown().await
    }
}

/// Bytes, counted where they pass.
#[derive(Debug)]
struct TrafficCollector(Arc<crate::artifacts::debusine::Traffic>);

impl prometheus_client::collector::Collector for TrafficCollector {
    fn encode(
        &self,
        mut encoder: prometheus_client::encoding::DescriptorEncoder<'_>,
    ) -> Result<(), std::fmt::Error> {
        use prometheus_client::encoding::EncodeMetric;
        let counted = [
            (
                "received_bytes",
                "Content of artifacts that came from the server",
                self.0.received(),
            ),
            (
                "sent_bytes",
                "Content of artifacts that went to the server",
                self.0.sent(),
            ),
        ];
        for (name, help, bytes) in counted {
            let counter = ConstCounter::new(bytes);
            let metric = encoder.encode_descriptor(name, help, None, counter.metric_type())?;
            counter.encode(metric)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happened_is_counted_by_task_and_result() {
        let metrics = Metrics::new();
        metrics.work_request("noop", "success");
        metrics.work_request("noop", "success");
        metrics.connected(true);
        metrics.stage("Running", Duration::from_millis(20));
        metrics.delivery(Duration::from_millis(20));
        metrics.image(false, 100);
        metrics.image(true, 100);
        metrics.image(true, 100);
        let mut text = String::new();
        encode(&mut text, &metrics.registry).expect("encoded");
        for line in [
            "task_runtime_work_requests_total{task=\"noop\",result=\"success\"} 2",
            "task_runtime_connected 1",
            "task_runtime_stage_seconds_count{stage=\"Running\"} 1",
            "task_runtime_delivery_seconds_count 1",
            "task_runtime_images_total{cache=\"hit\"} 2",
            "task_runtime_image_bytes_total{cache=\"hit\"} 200",
            "task_runtime_image_bytes_total{cache=\"miss\"} 100",
        ] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
    }
}
