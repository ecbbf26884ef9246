/* wire.h: what the ceiling's bytes look like; part of ceiling.c. */
/* SSE_MANY: sse with several channels, whose events have no ids here. */
enum transport { STREAM, SSE, IFRAME, SSE_MANY, POLL, WS, TRANSPORTS };

struct bytes { char *p; uint32_t len; };

static void die(const char *what) { perror(what); exit(1); }

static void *grow(void *p, size_t n)
{
	if (!(p = realloc(p, n))) die("realloc");
	return p;
}

/* framed puts one object into frame as a subscriber of the transport gets it. */
static size_t framed(char *frame, int transport, int with_id, uint32_t id, struct bytes m)
{
	static const char *before[] = {"", "data: ", "<script>parent.icomet_cb(", "data: ", "icomet_cb(", ""};
	static const char *after[] = {"\n", "\n", ");</script>\n", "\n\n", ");\n", ""};
	char line[32] = "";
	if (transport == SSE) {
		if (with_id) snprintf(line, sizeof line, "id: %u\n\n", id);
		else strcpy(line, "\n");
	}
	size_t body = strlen(before[transport]) + m.len + strlen(after[transport]) + strlen(line);
	char *p = frame;
	if (transport == POLL)
		p += sprintf(p, "HTTP/1.1 200 OK\r\nServer: icomet/ceiling\r\nContent-Type: text/javascript; charset=utf-8\r\n"
			"Cache-Control: no-cache\r\nExpires: 0\r\nX-Content-Type-Options: nosniff\r\n"
			"Access-Control-Allow-Origin: *\r\nContent-Length: %zu\r\n\r\n", body);
	else if (transport == WS) { /* a text frame */
		*p++ = (char)0x81;
		if (body < 126) *p++ = body;
		else if (body < 65536) *p++ = 126, *p++ = body >> 8, *p++ = body;
		else {
			*p++ = 127;
			for (int shift = 56; shift >= 0; shift -= 8) *p++ = body >> shift;
		}
	} else
		p += sprintf(p, "%zx\r\n", body);
	p = stpcpy(p, before[transport]);
	p = mempcpy(p, m.p, m.len);
	p = stpcpy(stpcpy(p, after[transport]), line);
	if (transport < POLL) p = stpcpy(p, "\r\n");
	return p - frame;
}

/* param finds name= in a query string or form and decodes it in place. */
static struct bytes param(char *s, char *end, const char *name)
{
	size_t n = strlen(name);
	while (s < end) {
		char *stop = memchr(s, '&', end - s);
		if (!stop) stop = end;
		if ((size_t)(stop - s) > n && !memcmp(s, name, n) && s[n] == '=') {
			char *r = s + n + 1, *w = r, *value = r;
			while (r < stop) {
				unsigned x;
				if (*r == '%' && stop - r > 2 && sscanf((char[]){r[1], r[2], 0}, "%x", &x) == 1) *w++ = x, r += 3;
				else *w++ = *r == '+' ? ' ' : *r, r++;
			}
			return (struct bytes){value, w - value};
		}
		s = stop + 1;
	}
	return (struct bytes){NULL, 0};
}
