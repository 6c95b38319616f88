//! What can be measured of a request: the one table that reader, extractor and document share.

/// A kind of feature.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// Its name in the file.
    pub name: &'static str,
    /// What its parameter names.
    pub parameter: Parameter,
    /// The least value.
    pub least: f32,
    /// The greatest value; greater ones count as this.
    pub most: f32,
    /// What it measures.
    pub doc: &'static str,
    pub(crate) measure: Measure,
}

/// What the parameter of a feature names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parameter {
    /// Nothing; there must be none.
    None,
    /// A header, in lower case.
    Header,
    /// Two headers, as in `accept,host`.
    Headers,
    /// A header and a text, as in `accept:text/html`.
    HeaderText,
    /// A text, compared without regard to case.
    Text,
    /// A method, as in `GET`.
    Method,
}

impl Parameter {
    /// In words, for messages and the document.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Parameter::None => "none",
            Parameter::Header => "a header name in lower case",
            Parameter::Headers => "two header names, as in accept,host",
            Parameter::HeaderText => "a header name and a text, as in accept:text/html",
            Parameter::Text => "a text in lower case",
            Parameter::Method => "a method, as in GET",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Measure {
    Present,
    Length,
    Items,
    Position,
    Before,
    Contains,
    Equals,
    SameHost,
    HeaderCount,
    HeaderBytes,
    NamesLower,
    NamesOdd,
    NamesRepeated,
    AgentText,
    AgentVersion,
    AgentWords,
    PathText,
    PathLength,
    PathDepth,
    PathEntropy,
    PathDigits,
    PathEncoded,
    QueryKeys,
    QueryLength,
    Method,
    Version,
    Https,
    HostIsAddress,
    AddressIsV6,
    HintsAgree,
    PlatformAgrees,
    MobileAgrees,
    FetchAgrees,
}

macro_rules! kinds {
    ($($measure:ident $name:literal ($parameter:ident) $least:literal .. $most:literal: $doc:literal;)+) => {
        /// Every kind.
        pub const KINDS: &[Kind] = &[$(Kind {
            name: $name,
            parameter: Parameter::$parameter,
            least: $least,
            most: $most,
            doc: $doc,
            measure: Measure::$measure,
        }),+];
    };
}

kinds! {
    Present "header_present" (Header) 0.0..1.0: "1 if the header is there.";
    Length "header_length" (Header) -1.0..512.0: "Bytes of its first value; -1 without it.";
    Items "header_items" (Header) -1.0..64.0: "Items of its first value, parted by commas; -1 without it.";
    Position "header_position" (Header) -1.0..250.0: "Place among the headers, from 0; -1 without it.";
    Before "header_before" (Headers) -1.0..1.0: "1 if the one stands before the other, 0 if behind; -1 unless both are there.";
    Contains "header_contains" (HeaderText) -1.0..1.0: "1 if its first value contains the text, case counting; -1 without it.";
    Equals "header_equals" (HeaderText) -1.0..1.0: "1 if its first value is the text, case counting; -1 without it.";
    SameHost "header_same_host" (Header) -1.0..1.0: "1 if the URL in it has the host of the request, else 0; -1 without it. For `referer` and `origin`.";
    HeaderCount "header_count" (None) 0.0..250.0: "Number of headers.";
    HeaderBytes "header_bytes" (None) 0.0..16384.0: "Bytes of all names and values.";
    NamesLower "names_lower" (None) -1.0..1.0: "Share of header names written wholly in lower case; -1 for HTTP/2, where all are.";
    NamesOdd "names_odd" (None) -1.0..250.0: "Header names neither in lower case nor capitalised as in `User-Agent`; -1 for HTTP/2.";
    NamesRepeated "names_repeated" (None) 0.0..250.0: "Headers whose well-known name stood there before.";
    AgentText "agent_text" (Text) 0.0..1.0: "1 if the user agent contains the text.";
    AgentVersion "agent_version" (Text) -1.0..1000.0: "The whole number behind the text in the user agent, as in `chrome/`; -1 without it.";
    AgentWords "agent_words" (None) -1.0..64.0: "Words of the user agent, parted by blanks; -1 without one.";
    PathText "path_text" (Text) 0.0..1.0: "1 if the path contains the text.";
    PathLength "path_length" (None) 0.0..256.0: "Bytes of the path.";
    PathDepth "path_depth" (None) 0.0..64.0: "Slashes in the path.";
    PathEntropy "path_entropy" (None) 0.0..8.0: "Entropy of the path, in bits a byte.";
    PathDigits "path_digits" (None) 0.0..1.0: "Share of digits in the path.";
    PathEncoded "path_encoded" (None) 0.0..256.0: "Percent signs in the path.";
    QueryKeys "query_keys" (None) -1.0..256.0: "Parameters of the query; -1 without a query.";
    QueryLength "query_length" (None) -1.0..256.0: "Bytes of the query; -1 without one.";
    Method "method" (Method) 0.0..1.0: "1 if this is the method.";
    Version "version" (None) 10.0..20.0: "HTTP version: 10, 11 or 20.";
    Https "https" (None) 0.0..1.0: "1 if the client spoke TLS.";
    HostIsAddress "host_is_address" (None) 0.0..1.0: "1 if the client asked for an address instead of a name.";
    AddressIsV6 "address_is_v6" (None) 0.0..1.0: "1 if the client's address is IPv6.";
    HintsAgree "hints_agree" (None) -1.0..2.0: "`Sec-CH-UA` beside a Chromium user agent: 2 with the same version, 1 if it is missing, 0 if they contradict; -1 for other agents.";
    PlatformAgrees "platform_agrees" (None) -1.0..1.0: "1 if `Sec-CH-UA-Platform` is the system in the user agent, else 0; -1 without it.";
    MobileAgrees "mobile_agrees" (None) -1.0..1.0: "1 if `Sec-CH-UA-Mobile` agrees with the user agent, else 0; -1 without it.";
    FetchAgrees "fetch_agrees" (None) -1.0..1.0: "1 if `Sec-Fetch-Site`, `-Mode`, `-Dest` and `-User` are complete and go together, else 0; -1 without them.";
}

impl Kind {
    /// The kind of that name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<&'static Kind> {
        KINDS.iter().find(|kind| kind.name == name)
    }
}
