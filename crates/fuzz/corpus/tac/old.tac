from buildslave.bot import BuildSlave
basedir = r'.'
if basedir == '.':
    import os.path
    basedir = os.path.abspath(os.path.dirname(__file__))
buildmaster_host = u'caf\xe9.example'
port = 0o23405
slavename = "slave"  # a remark
passwd = 'it\'s \u4e2d \\ """'
keepalive = 600
usepty = 0
umask = 022
maxdelay = -1
text = """
passwd = 'within'
"""
s = BuildSlave(buildmaster_host, port, slavename, passwd, basedir,
               keepalive, usepty, umask=umask, maxdelay=maxdelay)
