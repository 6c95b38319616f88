//! Traces of requests, in builds with the feature `otel`. Elsewhere everything here is empty and compiles to nothing.

#[cfg(not(feature = "otel"))]
pub(crate) use off::{Exporter, Span, Tracer};
#[cfg(feature = "otel")]
pub(crate) use on::{Exporter, Span, Tracer};

#[cfg(feature = "otel")]
mod on {
    use seawall_http::Fields;
    use seawall_model::{Edge, TraceSettings};
    use seawall_telemetry::access::Redaction;
    use seawall_telemetry::otel::{RequestTracer, TraceConfig, TraceContext, TraceExporter};
    use seawall_telemetry::{Record, Registry};
    use std::cell::RefCell;
    use std::sync::Arc;
    use std::time::Duration;

    /// How long the collector may take for a batch. Nobody waits for it but the thread that sends.
    const TIMEOUT: Duration = Duration::from_secs(10);

    /// Where traces go; none if they are off.
    #[derive(Clone, Default)]
    pub(crate) struct Exporter(Option<Arc<Running>>);

    struct Running {
        settings: TraceSettings,
        redacted: Vec<String>,
        exporter: TraceExporter,
    }

    impl Exporter {
        /// What the configuration asks for: the one there is, if that has not changed.
        pub(crate) fn of(edge: &Edge, old: &Exporter, registry: &Registry) -> Exporter {
            let Some(endpoint) = &edge.trace.endpoint else { return Exporter(None) };
            let is_same = |r: &&Arc<Running>| r.settings == edge.trace && r.redacted == edge.log.redact_query;
            if let Some(same) = old.0.as_ref().filter(is_same) {
                return Exporter(Some(same.clone()));
            }
            let config = TraceConfig {
                endpoint: with_path(endpoint),
                service_name: "seawall".to_owned(),
                sample_ratio: edge.trace.sample_percent / 100.0,
                follow_parent: edge.trace.follow_parent,
                timeout: TIMEOUT,
            };
            let redaction = Redaction::of(edge.log.redact_query.iter().map(String::as_str));
            match TraceExporter::start(config, redaction) {
                Ok(exporter) => {
                    exporter.watch(registry);
                    let (settings, redacted) = (edge.trace.clone(), edge.log.redact_query.clone());
                    Exporter(Some(Arc::new(Running { settings, redacted, exporter })))
                }
                Err(fault) => {
                    tracing::error!(%fault, "requests are not traced");
                    Exporter(None)
                }
            }
        }

        fn worker(&self) -> Option<RequestTracer> {
            self.0.as_ref().map(|running| running.exporter.worker())
        }

        /// Sends what is queued.
        pub(crate) fn close(&self, patience: Duration) {
            if let Some(running) = &self.0 {
                running.exporter.close(patience);
            }
        }
    }

    /// The path of OTLP over HTTP, unless the configuration has another.
    fn with_path(endpoint: &str) -> String {
        let authority = endpoint.strip_prefix("http://").unwrap_or(endpoint);
        match authority.split_once('/') {
            None => format!("{endpoint}/v1/traces"),
            Some((_, "")) => format!("{endpoint}v1/traces"),
            Some(_) => endpoint.to_owned(),
        }
    }

    /// A worker's end.
    pub(crate) struct Tracer(RefCell<Option<RequestTracer>>);

    /// A request's span; none if it is not traced.
    #[derive(Debug, Default)]
    pub(crate) struct Span(Option<TraceContext>);

    impl Tracer {
        pub(crate) fn of(exporter: &Exporter) -> Tracer {
            Tracer(RefCell::new(exporter.worker()))
        }

        /// Goes on with the exporter of another configuration.
        pub(crate) fn follow(&self, exporter: &Exporter) {
            *self.0.borrow_mut() = exporter.worker();
        }

        /// Begins the span of a request that is to be traced, and tells the origin by the request's own field.
        #[inline]
        pub(crate) fn begin(&self, fields: &mut Fields) -> Span {
            let mut tracer = self.0.borrow_mut();
            let Some(tracer) = tracer.as_mut() else { return Span(None) };
            let context = tracer.begin(fields.get_named(b"traceparent"));
            if let Some(context) = &context {
                fields.set_named(b"traceparent", context.traceparent().as_bytes());
            }
            Span(context)
        }

        /// Ends it.
        #[inline]
        pub(crate) fn end(&self, span: &Span, record: &Record<'_>) {
            if let (Span(Some(context)), Some(tracer)) = (span, &*self.0.borrow()) {
                tracer.end(context, record);
            }
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn the_path_is_added_where_none_stands() {
            for (endpoint, want) in [
                ("http://c:4318", "http://c:4318/v1/traces"),
                ("http://c:4318/", "http://c:4318/v1/traces"),
                ("http://c/otlp", "http://c/otlp"),
            ] {
                assert_eq!(with_path(endpoint), want);
            }
        }
    }
}

#[cfg(not(feature = "otel"))]
mod off {
    use seawall_http::Fields;
    use seawall_model::Edge;
    use seawall_telemetry::{Record, Registry};
    use std::time::Duration;

    #[derive(Clone, Default)]
    pub(crate) struct Exporter;
    pub(crate) struct Tracer;
    #[derive(Debug, Default)]
    pub(crate) struct Span;

    impl Exporter {
        pub(crate) fn of(_: &Edge, _: &Exporter, _: &Registry) -> Exporter {
            Exporter
        }
        pub(crate) fn close(&self, _: Duration) {}
    }

    impl Tracer {
        pub(crate) fn of(_: &Exporter) -> Tracer {
            Tracer
        }
        pub(crate) fn follow(&self, _: &Exporter) {}
        pub(crate) fn begin(&self, _: &mut Fields) -> Span {
            Span
        }
        pub(crate) fn end(&self, _: &Span, _: &Record<'_>) {}
    }
}
