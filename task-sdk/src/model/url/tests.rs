use super::*;

#[test]
fn a_url_keeps_its_spelling() {
    for text in [
        "http://user:pw@e.org:8080/a?b#c",
        "HTTP://Example.ORG/Up",
        "http://[::1]/d",
        "http://1.2.3.4:80",
        "https://exa_mple.org./",
        "http://localhost/x",
    ] {
        assert_eq!(Url::parse(text).unwrap().as_str(), text);
    }
}

#[test]
fn a_host_beyond_ascii_is_written_in_punycode() {
    for (text, normal) in [
        ("http://bücher.example/", "http://xn--bcher-kva.example/"),
        ("http://MÜNCHEN.de:1/?#", "http://xn--mnchen-3ya.de:1/"),
        (
            "http://例え.テスト/x?y",
            "http://xn--r8jz45g.xn--zckzah/x?y",
        ),
    ] {
        assert_eq!(Url::parse(text).unwrap().as_str(), normal);
    }
}

#[test]
fn each_fault_has_its_kind() {
    for (text, kind) in [
        ("", "any_str.min_length"),
        ("//e.org/x", "url.scheme"),
        ("mirror+file:/etc/apt/m", "url.scheme"),
        ("http://", "url.host"),
        ("http:///x", "url.host"),
        ("http://-a.org/", "url.host"),
        ("http://a..b/", "url.host"),
        ("http://e.org:99999/", "url.port"),
        ("http://e.org/a b", "url.extra"),
    ] {
        let refusal = Url::parse(text).unwrap_err();
        assert_eq!(
            refusal.kind.strip_prefix("value_error."),
            Some(kind),
            "{text}"
        );
    }
}

#[test]
fn a_file_url_needs_no_host() {
    let url = FileUrl::parse("file:///usr/share/keyrings/x.gpg").unwrap();
    assert_eq!(url.0.path(), "/usr/share/keyrings/x.gpg");
    assert_eq!(
        FileUrl::parse("http://e.org/").unwrap_err().kind,
        "value_error.url.scheme"
    );
}
