//! What the built-in file measures: name, kind, parameter.

use seawall_human::Feature;

const ROWS: &[(&str, &str, &str)] = &[
    // The user agent, as it names itself.
    ("agent.length", "header_length", "user-agent"),
    ("agent.words", "agent_words", ""),
    ("agent.mozilla", "agent_text", "mozilla/5.0 ("),
    ("agent.gecko", "agent_text", "gecko"),
    ("agent.compatible", "agent_text", "(compatible;"),
    ("agent.bot", "agent_text", "bot"),
    ("agent.crawl", "agent_text", "crawl"),
    ("agent.spider", "agent_text", "spider"),
    ("agent.headless", "agent_text", "headless"),
    ("agent.url", "agent_text", "http"),
    ("agent.script", "agent_text", "python"),
    ("agent.curl", "agent_text", "curl"),
    ("agent.java", "agent_text", "java"),
    ("agent.okhttp", "agent_text", "okhttp"),
    ("agent.cfnetwork", "agent_text", "cfnetwork"),
    ("agent.mobile", "agent_text", "mobile"),
    ("agent.windows", "agent_text", "windows nt"),
    ("agent.chrome", "agent_version", "chrome/"),
    ("agent.firefox", "agent_version", "firefox/"),
    ("agent.safari", "agent_version", "version/"),
    // What must go together.
    ("agree.hints", "hints_agree", ""),
    ("agree.platform", "platform_agrees", ""),
    ("agree.mobile", "mobile_agrees", ""),
    ("agree.fetch", "fetch_agrees", ""),
    ("agree.referer", "header_same_host", "referer"),
    // What it takes and from where it comes.
    ("language.items", "header_items", "accept-language"),
    ("language.length", "header_length", "accept-language"),
    ("accept.length", "header_length", "accept"),
    ("accept.anything", "header_equals", "accept:*/*"),
    ("accept.html", "header_contains", "accept:text/html"),
    ("encoding.items", "header_items", "accept-encoding"),
    ("encoding.br", "header_contains", "accept-encoding:br"),
    ("encoding.zstd", "header_contains", "accept-encoding:zstd"),
    ("connection.close", "header_contains", "connection:close"),
    ("cookie.length", "header_length", "cookie"),
    ("referer.length", "header_length", "referer"),
    ("upgrade.insecure", "header_present", "upgrade-insecure-requests"),
    ("cache.control", "header_present", "cache-control"),
    ("from", "header_present", "from"),
    ("authorization", "header_present", "authorization"),
    ("content.json", "header_contains", "content-type:application/json"),
    ("requested.with", "header_present", "x-requested-with"),
    ("priority", "header_present", "priority"),
    // How the head is written.
    ("headers.count", "header_count", ""),
    ("headers.bytes", "header_bytes", ""),
    ("names.lower", "names_lower", ""),
    ("names.odd", "names_odd", ""),
    ("order.host", "header_position", "host"),
    ("order.agent_accept", "header_before", "user-agent,accept"),
    ("order.encoding_language", "header_before", "accept-encoding,accept-language"),
    ("version", "version", ""),
    ("https", "https", ""),
    // What it wants.
    ("host.address", "host_is_address", ""),
    ("method.get", "method", "GET"),
    ("path.length", "path_length", ""),
    ("path.depth", "path_depth", ""),
    ("path.entropy", "path_entropy", ""),
    ("path.hidden", "path_text", "/."),
    ("path.php", "path_text", ".php"),
    ("query.keys", "query_keys", ""),
];

/// The rows.
pub fn rows() -> Vec<Feature> {
    ROWS.iter()
        .map(|(name, kind, parameter)| Feature {
            name: (*name).to_owned(),
            kind: (*kind).to_owned(),
            parameter: (*parameter).to_owned(),
        })
        .collect()
}
