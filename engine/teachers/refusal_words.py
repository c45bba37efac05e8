"""What codes and words of errors suggest, in any language by their codes; and the line to write for a refused setting.

Codes come before words: a code is one provider's exact statement, words may repeat a prompt.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

from engine.teachers.failures import LimitScope

Class = Literal["money", "key", "model", "limit", "day", "busy", "content", "long", "sample", "server"]
"""What a code stands for; `day` is a limit per day or longer, `busy` a server without room, `model` a missing model."""

_BY_CLASS: dict[Class, str] = {
    "money": """insufficient_quota billing_not_active billing_hard_limit_reached enforced_spend_limit_reached
        billing_error payment_required budget_exceeded arrearage accountarrears accountoverdueerror accountoverdue
        1113 1309 base_resp.1008 30001 insufficient_balance not_enough_balance insufficient_credits insufficient_funds
        exceeded_current_quota_error prepaidbilloverdue postpaidbilloverdue commoditynotpurchased
        accessdenied.unpurchased resourceunavailable.inarrears failedoperation.resourcepackexhausted
        resourceinsufficient.chargeresourceexhaust failedoperation.freeresourcepackexhausted
        allocationquota.freetieronly insufficient_user_quota pre_consume_token_quota_failed setlimitexceeded""",
    "key": """invalid_api_key invalidapikey authentication_error invalid_authentication_error authenticationerror
        unauthenticated permission_error permission_denied account_deactivated organization_on_hold
        access_terminated_error 1000 1001 1002 1003 1004 1110 1111 1112 1121 1220 1311 base_resp.1004
        base_resp.2049 accessdenied""",
    "model": "model_not_found deploymentnotfound invalidendpointormodel.notfound modelnotopen 1211 20012 not_found_error",
    "limit": """rate_limit_exceeded rate_limit_error rate_limited ratelimitreached rate_limit_reached_error
        too_many_requests ratelimitexceeded userratelimitexceeded resource_exhausted limit_requests throttling
        throttling.ratequota throttling.burstrate throttling.allocationquota 1303 1305 1308 1313 base_resp.1002
        base_resp.1039 base_resp.2045""",
    "day": "1304 1310 base_resp.2056",
    "busy": """engine_overloaded_error serveroverloaded overloaded_error model_overloaded server_busy 1302 1312
        base_resp.1041 50505 50603 service_tier_capacity_exceeded 3505""",
    "content": """content_filter content_policy_violation data_inspection_failed datainspectionfailed invalid_prompt
        sensitivecontentdetected inputtextsensitivecontentdetected responsibleaipolicyviolation 1301 base_resp.1026""",
    "long": "context_length_exceeded exceed_context_size_error string_above_max_length tokens_too_long characters_too_long 1261",
    "sample": """tool_use_failed json_validate_failed output_parse_failed outputtextsensitivecontentdetected
        base_resp.1027""",
    "server": """server_error api_error internal_error internal internalservererror internalerror upstream_error 500
        1230 1234 base_resp.1000 base_resp.1001 base_resp.1013 base_resp.1024 base_resp.1033""",
}  # fmt: skip
_CLASS_OF: dict[str, Class] = {code: kind for kind, codes in _BY_CLASS.items() for code in codes.split()}


def classes_of(codes: Iterable[str]) -> set[Class]:
    """What some codes stand for; a code with a further part (`ratelimitexceeded.endpointrpm`) counts as its first."""
    found = (_CLASS_OF.get(code) or _CLASS_OF.get(code.split(".")[0]) for code in codes)
    return {each for each in found if each is not None}


MONEY = re.compile(
    r"insufficient[_ ]quota|exceeded your current quota|billing|spend(?:ing)?[_ ]limit|credit balance"
    r"|insufficient[_ ](?:credit|balance|funds)|balance is (?:insufficient|too low)|not enough (?:credits?|balance)"
    r"|payment[_ ]required|budget (?:has been )?exceeded|out of credits|available credits|requires more credits"
    r"|api usage limits|account in good standing|(?:account|organization) \S* ?is suspended"
    r"|余额|欠费|充值|资源包|额度不足",
    re.IGNORECASE,
)
KEY = re.compile(
    r"invalid[_ ](?:x-)?api[_ ]key|incorrect api key|api[_ ]key[_ ]invalid|api key not valid"
    r"|organization (?:has been|is) disabled|organization[_ ]on[_ ]hold|(?:organization|account) must be verified"
    r"|location is not supported|not authenticated|authentication error|unauthorized",
    re.IGNORECASE,
)
CONTENT = re.compile(
    r"content[_ ](?:filter|policy|management)|moderation|flagged|usage (?:guidelines|policies)|safety[_ ](?:check|system)"
    r"|inappropriate content|prohibited[_ ]content|sensitive (?:content|words?|information)|敏感|不安全",
    re.IGNORECASE,
)
TOO_LONG = re.compile(
    r"context[_ ](?:length|window|limit|size)|maximum context|too many (?:input )?tokens"
    r"|(?:prompt|input|message|text)s? (?:is|are) too long|prompt too long|string[_ ]above[_ ]max[_ ]length"
    r"|token count .{0,40}exceeds|maximum (?:number of tokens|input length|prompt length)"
    r"|max_new_tokens` must be|range of input length|max input characters|reduce the length"
    r"|exceeds? the (?:model's |maximum )?(?:max(?:imum)? )?(?:context|input|prompt)|超长",
    re.IGNORECASE,
)
LIMIT_IS_SMALLER = re.compile(r"limit:? ?([\d,]+)[,;]? .{0,60}?requested:? ?([\d,]+)", re.IGNORECASE)
TOO_LARGE = re.compile(
    r"request too large|must be reduced in order to run|reduce your message size|required for long context requests"
    r"|single request exceeds",
    re.IGNORECASE,
)
BUSY = re.compile(
    r"\bbusy\b|overload|queue is full|queue full|(?:pending|queued) requests? exceeded|\bcapacity\b|too many queued"
    r"|no (?:free |available )?slots?\b",
    re.IGNORECASE,
)
SAMPLED = re.compile(
    r"failed_generation|model called a tool|failed to (?:call a function|parse tool|generate json)"
    r"|model produced invalid|could not parse the (?:model|generated)",
    re.IGNORECASE,
)
CUT = re.compile(
    r"could not finish the message because max_(?:completion_)?tokens|model output limit was reached",
    re.IGNORECASE,
)
PERIOD = re.compile(
    r"(?:per|/|a)[ _-]?(?:min(?:ute)?|sec(?:ond)?|hour|day|\d+ ?s)\b|\b[RT]P[MDS]\b|\b(?:daily|hourly)\b"
    r"|per(?:minute|day|hour)|by(?:minute|day|hour)",
    re.IGNORECASE,
)
"""A limit that comes back with time."""
_DAILY = re.compile(
    r"(?:requests?|tokens?|models?|calls?|quota|limit\w*|free)[ _-]*(?:per|/|a)[ _-]?day\b"
    r"|\b(?:RPD|TPD|ITPD|OTPD)\b|\bdaily\b|(?:per|by)day(?:per|\b)",
    re.IGNORECASE,
)
_SECONDS = re.compile(r"per (\d{1,9}) ?s(?:ec(?:onds?)?)?\b", re.IGNORECASE)


def is_daily(text: str) -> bool:
    """Whether a limit is one per day."""
    seconds = _SECONDS.search(text)
    return _DAILY.search(text) is not None or (seconds is not None and int(seconds[1]) >= 43_200)


def is_too_large(words: str) -> bool:
    """Whether a request alone is larger than the limit, so that waiting does not help."""
    stated = LIMIT_IS_SMALLER.search(words)
    if stated is not None:
        limit, asked = (int(each.replace(",", "") or 0) for each in stated.groups())
        return asked > limit
    return TOO_LARGE.search(words) is not None


_SCOPES: tuple[tuple[LimitScope, re.Pattern[str]], ...] = (
    (
        "concurrency",
        re.compile(r"concurren|simultaneous|too many requests in (?:flight|parallel)|并发", re.IGNORECASE),
    ),
    (
        "input",
        re.compile(
            r"(?:input|prompt)[ _-]?tokens?[ _-]?(?:per|/|rate)|\bI(?:TPM|TPD)\b|inputtokens\b", re.IGNORECASE
        ),
    ),
    (
        "output",
        re.compile(
            r"(?:output|completion)[ _-]?tokens?[ _-]?(?:per|/|rate)|\bO(?:TPM|TPD)\b|outputtokens\b",
            re.IGNORECASE,
        ),
    ),
    (
        "tokens",
        re.compile(
            r"tokens[ _-]?(?:per|/)|\bT(?:PM|PD)\b|token rate|tokens has exceeded|token_count", re.IGNORECASE
        ),
    ),
    (
        "requests",
        re.compile(
            r"requests[ _-]?(?:per|/)|\bR(?:PM|PD)\b|request rate|requests has exceeded|tier_requests|models-per",
            re.IGNORECASE,
        ),
    ),
)


def scope_of(words: str) -> LimitScope | None:
    """The limit that a text names."""
    return next((scope for scope, pattern in _SCOPES if pattern.search(words)), None)


_OWN = (
    *("temperature", "top_p", "seed", "stop", "stop_sequences", "stopSequences", "max_tokens"),
    *("max_completion_tokens", "max_output_tokens", "max_new_tokens", "n", "logprobs", "top_logprobs"),
    *("stream", "stream_options"),
)
"""Fields of the request body that Coterie itself writes, in any dialect."""
_NAMES = "|".join(_OWN)
_FIELD = re.compile(
    rf"(?:unknown name|unsupported (?:parameter|value)|unrecognized (?:request )?argument(?: supplied)?"
    r"|unexpected keyword argument|not supported (?:on|with|by|for) this model|unknown (?:parameter|field|argument)"
    r"|invalid (?:value|type) for|does not support (?:the )?(?:parameters?|arguments?)|unsupported (?:field|argument))"
    r"[:\s]*['\"`]?([A-Za-z][\w.]{0,60})['\"`]?"
    rf"|['\"`]?\b({_NAMES})\b['\"`]?(?: \((?:[^)]{{0,60}})\))?\s*:?\s*(?:is deprecated|is not supported|is unsupported|does not support"
    r"|may only be set|must be|cannot|and `?top_p`? cannot|extra inputs|extra fields|is not allowed|not permitted"
    r"|number must be|is too (?:large|high)|should be|exceeds|is not a valid|参数非法)"
    rf"|invalid ['\"`]?({_NAMES})\b|not allowed to request ({_NAMES})\b"
    rf"|(?:the |parameter )['\"`]?({_NAMES})['\"`]? (?:parameter )?(?:is|was) (?:not|rejected)"
    r"|(?:only supports?|only support) (stream)",
    re.IGNORECASE,
)
"""A field of the request that the model rejects: every request with it fails."""
_NUMBER = re.compile(
    r"(?:at most|less than or equal to|<=|maximum(?: of| is|:)?|up to|supports at most) ?(\d[\d,]*)"
)


def refused_setting(field: str, words: str) -> str:
    """The setting that an error names, by its `param` or `loc` or in words; empty where it names none."""
    root = field.split(".")[0]
    if root in _OWN:
        return root
    if root in ("model", "messages", "input", "prompt"):
        return ""
    found = _FIELD.search(words)
    if found is None:
        return (
            root
            if root and re.search(r"extra|unsupported|not supported|unknown", words, re.IGNORECASE)
            else ""
        )
    name = next(each for each in found.groups() if each)
    own = {each.lower(): each for each in _OWN}
    name = own.get(name.lower(), name).split(".")[0]
    return "" if name.lower() in ("model", "messages", "input", "prompt", "this", "the", "must") else name


def remedy(name: str, words: str) -> str:
    """What to write in config.toml where a model refuses a setting."""
    said = words.lower()
    if name == "temperature" and re.search(r"only[^.]{0,40}\b1\b|set to 1\b|default \(1\)", said):
        return 'set temperature = 1 in the plan, or omit = ["temperature"] in the teacher'
    if name in ("stop_sequences", "stopSequences"):
        return 'set omit = ["stop"]'
    if name in ("temperature", "top_p", "seed", "stop"):
        return f'set omit = ["{name}"]'
    if name in ("max_tokens", "max_completion_tokens", "max_output_tokens", "max_new_tokens"):
        other = "max_completion_tokens" if name == "max_tokens" else "max_tokens"
        if other in said.replace(name, "") or re.search(
            r"unsupported|not supported|unknown|extra|unrecog", said
        ):
            return f'set max_tokens_field = "{other}"'
        most = _NUMBER.search(said)
        return f"lower max_tokens of the plan{f' to {most[1]}' if most else ''}"
    if name == "n":
        return "set per_request = 1 in the plan"
    if name in ("logprobs", "top_logprobs"):
        return "set logprobs = 0 in the plan"
    if name == "stream_options" or (
        name == "stream" and not re.search(r"only|must|require|set to true|enable", said)
    ):
        return "set stream = false"
    if name == "stream":
        return "set stream = true"
    return f'remove "{name}" from extra_body'
