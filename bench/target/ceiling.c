//go:build ignore

/*
 * ceiling: what this machine can do at most for one of our scenarios.
 *
 * A single-threaded epoll loop that speaks just enough of the protocol
 * (subscribe by stream, sse, iframe, poll or ws to one channel or several on the
 * front port; push, pub and broadcast on the admin port) and sends the same pre-encoded bytes to each
 * subscriber by send(MSG_DONTWAIT|MSG_NOSIGNAL). It checks nothing, has no
 * limits and frees no channel: whatever a real server does besides is what the
 * ratio to this program shows.
 *
 * Like the server it takes its listen addresses from the environment
 * (127.0.0.1 only, port 0) and logs the real ports to stderr.
 * ICOMET_FRONT_POLLING_TIMEOUT seconds after the last round, every subscriber
 * gets a noop, so that a round of heartbeats can be compared.
 *
 * The constraint in the first line keeps the Go tool from compiling this file;
 * the harness embeds it and builds it with gcc.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "wire.h"

enum { RING = 10, INPUT = 1 << 20, EVENTS = 512, BUCKETS = 1 << 16, NAME = 255 };

/* A stored message: the JSON object, shared by the transports. */
struct channel {
	struct channel *chain;     /* of its hash bucket */
	uint32_t *subs, nsubs, cap; /* descriptors */
	uint32_t next;             /* seq */
	struct bytes *ring;        /* RING objects, made at the first message */
	uint8_t name_len;
	char name[];
};

/* By descriptor. in is only kept while a request is incomplete. */
struct conn {
	struct channel *sub, **more; /* more: all channels, sub among them, if there are several */
	char *in;
	uint32_t in_len, index; /* index: its place in a channel's subs, right if it has one channel */
	uint32_t noop, nmore;
	uint8_t admin, transport, open;
};

static struct conn *conns;
static uint32_t conns_cap;
static struct channel **buckets;
static char *input, *out, *frame;
static size_t out_len;
static int epoll_fd, front_fd, admin_fd;
static volatile sig_atomic_t stopped;

static struct channel *channel_get(const char *name, size_t len)
{
	uint64_t h = 14695981039346656037u;
	for (size_t i = 0; i < len; i++) h = (h ^ (uint8_t)name[i]) * 1099511628211u;
	struct channel **b = &buckets[(h ^ h >> 32) % BUCKETS], *c;
	for (c = *b; c; c = c->chain)
		if (c->name_len == len && !memcmp(c->name, name, len)) return c;
	c = grow(NULL, sizeof *c + len);
	memset(c, 0, sizeof *c);
	c->name_len = len;
	c->next = 1;
	memcpy(c->name, name, len);
	c->chain = *b;
	return *b = c;
}

static void leave(uint32_t fd, struct channel *ch)
{
	uint32_t i = conns[fd].index;
	if (i >= ch->nsubs || ch->subs[i] != fd)
		for (i = 0; ch->subs[i] != fd; i++) ;
	uint32_t last = ch->subs[--ch->nsubs];
	ch->subs[i] = last;
	conns[last].index = i;
}

static void unsubscribe(uint32_t fd)
{
	struct conn *c = &conns[fd];
	if (!c->sub) return;
	if (!c->nmore) leave(fd, c->sub);
	for (uint32_t i = 0; i < c->nmore; i++) leave(fd, c->more[i]);
	free(c->more);
	c->sub = NULL, c->more = NULL, c->nmore = 0;
}

static void conn_close(uint32_t fd)
{
	unsubscribe(fd);
	free(conns[fd].in);
	memset(&conns[fd], 0, sizeof conns[fd]);
	close(fd);
}

/* Whatever the socket does not take at once is a connection lost: the runs
 * that this program is for never have more in flight than a socket holds. */
static int send_all(uint32_t fd, const char *p, size_t n)
{
	return send(fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)n ? 0 : -1;
}

static struct bytes object(struct channel *ch, const char *type, uint32_t seq, const char *content, size_t len)
{
	struct bytes m = {grow(NULL, ch->name_len + len + 96), 0};
	m.len = sprintf(m.p, "{\"type\":\"%s\",\"cname\":\"%.*s\",\"seq\":%u,\"content\":\"", type, ch->name_len, ch->name, seq);
	memcpy(m.p + m.len, content, len);
	m.len += len;
	memcpy(m.p + m.len, "\"}", 2);
	m.len += 2;
	return m;
}

/* deliver sends one object to every subscriber of a channel, framed once for
 * each transport in use. A poll is over with it. */
static void deliver(struct channel *ch, int is_data, uint32_t seq, struct bytes m)
{
	for (int t = 0; t < TRANSPORTS; t++) {
		size_t n = 0;
		for (uint32_t i = ch->nsubs; i-- > 0;) { /* backwards: leaving swaps in the last one */
			uint32_t fd = ch->subs[i];
			if (conns[fd].transport != t) continue;
			if (!n) n = framed(frame, t, is_data, seq, m);
			if (send_all(fd, frame, n)) conn_close(fd);
			else if (t == POLL) unsubscribe(fd);
		}
	}
}

/* publish takes over a seq of the channel; type is data or broadcast. */
static void publish(struct channel *ch, const char *type, const char *content, size_t len)
{
	uint32_t seq = ch->next++;
	struct bytes m = object(ch, type, seq, content, len);
	if (!ch->ring) {
		ch->ring = grow(NULL, RING * sizeof *ch->ring);
		memset(ch->ring, 0, RING * sizeof *ch->ring);
	}
	free(ch->ring[seq % RING].p);
	ch->ring[seq % RING] = m;
	deliver(ch, 1, seq, m);
	if (*type == 'b') {
		struct bytes next = object(ch, "next_seq", ch->next, "", 0);
		deliver(ch, 0, 0, next);
		free(next.p);
	}
}

static void noops(void)
{
	for (uint32_t fd = 0; fd < conns_cap; fd++) {
		if (!conns[fd].sub) continue;
		struct bytes m = object(conns[fd].sub, "noop", conns[fd].noop++, "", 0);
		size_t n = framed(frame, conns[fd].transport, 0, 0, m);
		free(m.p);
		if (send_all(fd, frame, n)) conn_close(fd);
		else if (conns[fd].transport == POLL) unsubscribe(fd);
	}
}

/* join subscribes to a channel, and appends to p what a subscriber from seq on gets first. */
static char *join(uint32_t fd, struct channel *ch, uint32_t seq, char *p)
{
	struct conn *c = &conns[fd];
	int answered = 0;
	if (!seq || seq > ch->next) {
		struct bytes m = object(ch, "next_seq", ch->next, "", 0);
		p = mempcpy(p, frame, framed(frame, c->transport, 1, ch->next - 1, m));
		free(m.p);
		answered = 1;
	}
	/* A poller that is behind gets one message a poll here, not an array. */
	uint32_t oldest = ch->next > RING ? ch->next - RING : 1;
	for (uint32_t s = seq < oldest ? oldest : seq; seq && s < ch->next; s++) {
		p = mempcpy(p, frame, framed(frame, c->transport, 1, s, ch->ring[s % RING]));
		answered = 1;
		if (c->transport == POLL) break;
	}
	if (c->transport == POLL && answered) return p;
	if (ch->nsubs == ch->cap) ch->subs = grow(ch->subs, (ch->cap = ch->cap ? ch->cap * 2 : 1) * sizeof *ch->subs);
	if (c->sub) {
		c->more = grow(c->more, (c->nmore + 2) * sizeof *c->more);
		if (!c->nmore) c->more[c->nmore++] = c->sub;
		c->more[c->nmore++] = ch;
	} else c->sub = ch;
	c->index = ch->nsubs;
	ch->subs[ch->nsubs++] = fd;
	return p;
}

static int subscribe(uint32_t fd, char *path, char *query, char *end)
{
	struct conn *c = &conns[fd];
	static const char *types[] = {"application/json", "text/event-stream", "text/html"};
	c->transport = !memcmp(path, "/stream", 7) ? STREAM : !memcmp(path, "/sse", 4) ? SSE
		: !memcmp(path, "/iframe", 7) ? IFRAME : !memcmp(path, "/ws", 3) ? WS : POLL;
	char *p = out;
	if (c->transport == WS) /* to the key that the harness sends */
		p = stpcpy(p, "HTTP/1.1 101 Switching Protocols\r\nServer: icomet/ceiling\r\nUpgrade: websocket\r\n"
			"Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n");
	else if (c->transport != POLL)
		p += sprintf(p, "HTTP/1.1 200 OK\r\nServer: icomet/ceiling\r\nContent-Type: %s; charset=utf-8\r\n"
			"Cache-Control: no-cache\r\nExpires: 0\r\nX-Content-Type-Options: nosniff\r\n"
			"Access-Control-Allow-Origin: *\r\nTransfer-Encoding: chunked\r\n\r\n", types[c->transport]);
	if (c->transport == IFRAME) {
		static const char page[] = "<html><head><meta charset=\"utf-8\"></head><body>\n";
		p += sprintf(p, "%zx\r\n%s\r\n", sizeof page - 1, page);
	}
	if (c->transport == SSE) p = stpcpy(p, "c\r\nretry: 2000\n\r\n");
	/* Each cname with the seq behind it. */
	for (struct bytes name; (name = param(query, end, "cname")).p;) {
		if (!name.len || name.len > NAME) return -1;
		struct channel *ch = channel_get(name.p, name.len);
		struct bytes seq = param(query = name.p + name.len, end, "seq");
		p = join(fd, ch, seq.len ? strtoul(seq.p, NULL, 10) : 0, p);
	}
	if (c->transport == SSE && c->nmore) c->transport = SSE_MANY;
	return p == out ? 0 : send_all(fd, out, p - out);
}

static void answer(const char *type, const char *body)
{
	out_len += sprintf(out + out_len, "HTTP/1.1 200 OK\r\nServer: icomet/ceiling\r\nContent-Type: %s; charset=utf-8\r\n"
		"Content-Length: %zu\r\n\r\n%s", type, strlen(body), body);
}

static int admin(char *path, char *query, char *end)
{
	struct bytes content = param(query, end, "content"), name;
	if (!memcmp(path, "/broadcast", 10)) {
		for (size_t i = 0; i < BUCKETS; i++)
			for (struct channel *c = buckets[i]; c; c = c->chain) publish(c, "broadcast", content.p, content.len);
		answer("text/plain", "ok\n");
		return 0;
	}
	if (memcmp(path, "/pu", 3)) { /* /push and /pub */
		out_len += sprintf(out + out_len, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
		return 0;
	}
	name = param(query, end, "cname");
	if (!name.len || name.len > NAME) return -1;
	publish(channel_get(name.p, name.len), "data", content.p, content.len);
	answer("application/json", "{\"type\":\"ok\"}\n");
	return 0;
}

/* request handles one request at p. Returns its length, 0 if it is not whole yet, -1 to close. */
static long request(uint32_t fd, char *p, char *end)
{
	char *head_end = memmem(p, end - p, "\r\n\r\n", 4), *line_end, *path, *query, *stop, *length;
	if (!head_end) return end - p > 65536 ? -1 : 0;
	line_end = memmem(p, head_end + 2 - p, "\r\n", 2);
	path = memchr(p, ' ', line_end - p);
	if (!path++ || !(stop = memchr(path, ' ', line_end - path))) return -1;
	char *next = head_end + 4;
	query = memchr(path, '?', stop - path);
	query = query ? query + 1 : stop;
	if (*p == 'P') { /* POST: its form takes the query's place */
		if (!(length = memmem(p, head_end - p, "\r\nContent-Length: ", 18))) return -1;
		query = next;
		next += strtoul(length + 18, NULL, 10);
		if (next > end) return next - p > INPUT ? -1 : 0;
		stop = next;
	}
	if ((conns[fd].admin ? admin(path, query, stop) : subscribe(fd, path, query, stop)) < 0) return -1;
	return next - p;
}

static void readable(uint32_t fd)
{
	struct conn *c = &conns[fd];
	if (c->in_len) memcpy(input, c->in, c->in_len);
	ssize_t n = recv(fd, input + c->in_len, INPUT - c->in_len, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
	if (n <= 0) { conn_close(fd); return; }
	char *p = input, *end = input + c->in_len + n;
	long used;
	out_len = 0;
	while (p < end && (used = request(fd, p, end))) {
		if (used < 0) { conn_close(fd); return; }
		p += used;
		/* The answers to what one read brought leave in one write. */
		if (out_len > INPUT / 2) {
			if (send_all(fd, out, out_len)) { conn_close(fd); return; }
			out_len = 0;
		}
	}
	if (out_len && send_all(fd, out, out_len)) { conn_close(fd); return; }
	if (!c->open) return;
	c->in_len = end - p;
	if (c->in_len) c->in = memcpy(grow(c->in, c->in_len), p, c->in_len);
	else { free(c->in); c->in = NULL; }
}

static void accept_all(int listener)
{
	int fd, on = 1;
	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		if ((uint32_t)fd >= conns_cap) { close(fd); continue; }
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
		conns[fd].open = 1;
		conns[fd].admin = listener == admin_fd;
		struct epoll_event e = {.events = EPOLLIN | EPOLLRDHUP, .data.fd = fd};
		if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &e)) conn_close(fd);
	}
}

static int listen_on(const char *role)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof a;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (void *)&a, len) || listen(fd, SOMAXCONN) || getsockname(fd, (void *)&a, &len)) die("listen");
	struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &e)) die("epoll_ctl");
	fprintf(stderr, "level=INFO msg=listening role=%s address=127.0.0.1:%d\n", role, ntohs(a.sin_port));
	return fd;
}

static void on_signal(int s) { (void)s; stopped = 1; }

int main(void)
{
	struct rlimit files;
	struct sigaction act = {.sa_handler = on_signal}; /* no SA_RESTART: epoll_wait must return */
	prctl(PR_SET_PDEATHSIG, SIGTERM);                 /* never outlives the harness */
	sigaction(SIGTERM, &act, NULL);
	sigaction(SIGINT, &act, NULL);
	if (getrlimit(RLIMIT_NOFILE, &files)) die("getrlimit");
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	conns_cap = files.rlim_cur > 4194304 ? 4194304 : files.rlim_cur;
	conns = calloc(conns_cap, sizeof *conns); /* calloc: pages are touched as descriptors come */
	buckets = calloc(BUCKETS, sizeof *buckets);
	input = malloc(INPUT), out = malloc(INPUT + 65536), frame = malloc(2 * INPUT);
	if (!conns || !buckets || !input || !out || !frame) die("malloc");
	if ((epoll_fd = epoll_create1(EPOLL_CLOEXEC)) < 0) die("epoll_create1");
	front_fd = listen_on("front");
	admin_fd = listen_on("admin");

	const char *timeout = getenv("ICOMET_FRONT_POLLING_TIMEOUT");
	time_t every = timeout ? atoi(timeout) : 30, due = time(NULL) + every;
	struct epoll_event events[EVENTS];
	while (!stopped) {
		int n = epoll_wait(epoll_fd, events, EVENTS, 1000);
		for (int i = 0; i < n; i++) {
			int fd = events[i].data.fd;
			if (fd == front_fd || fd == admin_fd) accept_all(fd);
			else if (conns[fd].open) readable(fd);
		}
		if (time(NULL) >= due) {
			noops();
			due = time(NULL) + every;
		}
	}
	return 0;
}
