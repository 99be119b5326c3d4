/* A V4L2 camera that delivers JPEG pictures, inside one process: a preloaded library.
 *
 *     gcc -O2 -shared -fPIC -o jpeg_device.so jpeg_device.c
 *     JPEG_DEVICE=/dev/video-bench JPEG_FOLDER=pictures JPEG_SIZE=640x480 JPEG_FPS=15 \
 *         LD_PRELOAD=./jpeg_device.so ustreamer --device=/dev/video-bench …
 *
 * JPEG_FOLDER holds 0.jpg, 1.jpg and so on. Each buffer keeps the picture of its number, so that
 * delivering one costs the process nothing, as with a real camera, whose pictures arrive by DMA.
 * Only what ustreamer 4.9 needs of V4L2's streaming is there: one capture queue, mapped memory.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define BUFFERS 8
#define CAPACITY (4u << 20)

static int device = -1;
static unsigned count, width, height, fps;
static struct { unsigned size; int queued; } buffers[BUFFERS];
static unsigned order[BUFFERS], first, queued;

static int start_timer(void) {
    sscanf(getenv("JPEG_SIZE"), "%ux%u", &width, &height);
    fps = atoi(getenv("JPEG_FPS"));
    long period = 1000000000L / fps;
    struct itimerspec spec = {{0, period}, {0, period}};
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    return fd < 0 || timerfd_settime(fd, 0, &spec, NULL) ? -1 : fd;
}

static int opened(const char *path, int flags, mode_t mode, const char *name) {
    const char *wanted = getenv("JPEG_DEVICE");
    if (wanted && !strcmp(path, wanted)) return device = start_timer();
    int (*next)(const char *, int, ...) = dlsym(RTLD_NEXT, name);
    return next(path, flags, mode);
}

static mode_t mode_of(int flags, va_list words) {
    return flags & (O_CREAT | O_TMPFILE) ? va_arg(words, mode_t) : 0;
}

int open(const char *path, int flags, ...) {
    va_list words;
    va_start(words, flags);
    mode_t mode = mode_of(flags, words);
    va_end(words);
    return opened(path, flags, mode, "open");
}

int open64(const char *path, int flags, ...) {
    va_list words;
    va_start(words, flags);
    mode_t mode = mode_of(flags, words);
    va_end(words);
    return opened(path, flags, mode, "open64");
}

int close(int fd) {
    if (fd == device) device = -1;
    int (*next)(int) = dlsym(RTLD_NEXT, "close");
    return next(fd);
}

static void *filled(unsigned index, size_t length) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%u.jpg", getenv("JPEG_FOLDER"), index);
    FILE *file = fopen(path, "rb");
    if (!file) return MAP_FAILED;
    void *memory = aligned_alloc(4096, length);
    buffers[index].size = fread(memory, 1, length, file);
    fclose(file);
    return memory;
}

static void *mapped(void *at, size_t length, int prot, int flags, int fd, off_t offset, const char *name) {
    if (fd >= 0 && fd == device) return filled(offset / CAPACITY, length);
    void *(*next)(void *, size_t, int, int, int, off_t) = dlsym(RTLD_NEXT, name);
    return next(at, length, prot, flags, fd, offset);
}

void *mmap(void *at, size_t length, int prot, int flags, int fd, off_t offset) {
    return mapped(at, length, prot, flags, fd, offset, "mmap");
}

void *mmap64(void *at, size_t length, int prot, int flags, int fd, off_t offset) {
    return mapped(at, length, prot, flags, fd, offset, "mmap64");
}

static int queue(struct v4l2_buffer *buffer) {
    if (buffer->index >= count || buffers[buffer->index].queued) return errno = EINVAL, -1;
    buffers[buffer->index].queued = 1;
    order[(first + queued++) % BUFFERS] = buffer->index;
    return 0;
}

static int dequeue(struct v4l2_buffer *buffer) {
    uint64_t ticks;
    if (read(device, &ticks, sizeof ticks) != sizeof ticks || !queued) return errno = EAGAIN, -1;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    buffer->index = order[first];
    buffer->bytesused = buffers[buffer->index].size;
    buffer->timestamp = (struct timeval){now.tv_sec, now.tv_nsec / 1000};
    buffers[buffer->index].queued = 0;
    first = (first + 1) % BUFFERS;
    queued--;
    return 0;
}

static int answer(uint32_t request, void *value) {
    switch (request) {
    case VIDIOC_QUERYCAP: {
        struct v4l2_capability *all = value;
        memset(all, 0, sizeof *all);
        strcpy((char *)all->card, "pictures");
        all->capabilities = all->device_caps = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING;
        return 0;
    }
    case VIDIOC_S_FMT: {
        struct v4l2_pix_format *format = &((struct v4l2_format *)value)->fmt.pix;
        format->width = width;
        format->height = height;
        format->pixelformat = V4L2_PIX_FMT_MJPEG;
        format->sizeimage = CAPACITY;
        return 0;
    }
    case VIDIOC_G_PARM:
    case VIDIOC_S_PARM: {
        struct v4l2_captureparm *rate = &((struct v4l2_streamparm *)value)->parm.capture;
        rate->capability = V4L2_CAP_TIMEPERFRAME;
        rate->timeperframe = (struct v4l2_fract){1, fps};
        return 0;
    }
    case VIDIOC_REQBUFS: {
        struct v4l2_requestbuffers *wanted = value;
        count = wanted->count = wanted->count > BUFFERS ? BUFFERS : wanted->count;
        return 0;
    }
    case VIDIOC_QUERYBUF: {
        struct v4l2_buffer *buffer = value;
        buffer->length = CAPACITY;
        buffer->m.offset = buffer->index * CAPACITY;
        return 0;
    }
    case VIDIOC_QBUF:
        return queue(value);
    case VIDIOC_DQBUF:
        return dequeue(value);
    case VIDIOC_S_INPUT:
    case VIDIOC_STREAMON:
    case VIDIOC_STREAMOFF:
        return 0;
    }
    return errno = EINVAL, -1;
}

int ioctl(int fd, unsigned long request, ...) {
    va_list words;
    va_start(words, request);
    void *value = va_arg(words, void *);
    va_end(words);
    if (fd >= 0 && fd == device) return answer(request, value);
    int (*next)(int, unsigned long, ...) = dlsym(RTLD_NEXT, "ioctl");
    return next(fd, request, value);
}
